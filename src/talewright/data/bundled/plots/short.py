"""Short plots: one small thing happens, for a reason, and ends."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import CATS, CHILDREN, COLORS, FAMILY, PARENTS, animals, unnamed

DUCKS = Plot(
    name="the last duck",
    cast={"hero": CHILDREN, "parent": FAMILY},
    tables={
        "food": ["oats", "corn", "peas", "seeds"],
        "reason because": [
            ("It had only one leg", "It can't run as fast as the others"),
            ("It was the smallest of all", "The big ones push it away"),
            ("It was old and gray", "It does not see well any more"),
            ("It was new and shy", "It does not know anybody yet"),
        ],
        "trick": [
            "threw a big handful far to the left. All the ducks ran to the left, and then {he} put "
            "some in front of the last duck",
            "walked around the pond on {his} toes and held out {his} open hand",
            "made a little pile behind a bush, where only the last duck could see it",
            "sat down on the grass and waited until the others were full",
        ],
    },
    text="""
    {hero} and {parent} went to the park.
    [They had a bag of {food} for the ducks.|In {his} pocket {hero} had some {food} for the ducks.]
    "[Quack, quack|Quack]!" [All the ducks came at once.|The ducks came from all sides.]
    [They pushed and splashed.|It was very loud.|] But one duck stayed [at the back|behind the others] and got nothing.
    "[{parent.call}, why does it not come|Why does it not come|What is wrong with that one]?" asked {hero}. {reason}.
    "{because}," said {parent}. [{hero} thought about it.|"That is not fair," said {hero}.|] Then {he} {trick}.
    [The last duck looked at {him}. It took one step, and then another.
    |At first the last duck did not dare. Then it came.
    |The last duck came.]
    It ate and ate until everything was gone. "Quack," it said[ softly|].
    [That meant thank you.
    |{hero} was sure that it meant thank you.
    |The next time they came, it was not the last one any more. It was waiting for {him}.
    |"It has a nice voice," said {hero} on the way home.]
    """,
)

HIDE_AND_SEEK = Plot(
    name="hide and seek",
    cast={"hero": CHILDREN, "friend": CHILDREN},
    tables={
        "place wait": [
            ("in the closet, behind the winter coats", "It was dark and warm and smelled of soap"),
            ("under the stairs, behind the boxes", "A spider walked over {his} shoe"),
            ("in the laundry basket", "A sock lay on {his} head"),
            ("behind the long curtain", "Only {his} toes looked out"),
            ("in the big trunk under the roof", "It smelled of old hats"),
        ],
        "found": [
            "At last there was a small sound. It was a snore! {hero} had fallen asleep",
            'Then {friend} had an idea. "I have cookies," {friend.he} said aloud. "Where?" cried '
            "{hero}, and jumped out",
            'Then dust got into {hero}\'s nose. "Achoo!" {friend} turned around and laughed',
            "Then the dog walked in, wagged its tail, and sat down right in front of the place",
            "Then {friend} told a joke to the empty room. Somebody giggled, and that was that",
        ],
    },
    text="""
    {hero} and {his} friend {friend} were playing [hide and seek|at home on a rainy day].
    {friend} closed {friend.his} eyes and counted to [ten|twenty|fifty].
    {hero} [ran|crept] through the house and hid {place}. {wait}. [{He} did not move.|{He} held {his} breath.|]
    "[I am coming|Here I come]!" called {friend}.
    {Friend.he} looked [under the bed|behind the door] and [under the table|behind the sofa].
    [There was nobody there.|No {hero}!] "[Where can {he} be|How can anybody be so still]?" said {friend}.
    [A long time went by.|{Friend.he} looked everywhere two times.|] [{Friend.he} almost gave up.|] {found}.
    "[Found you|There you are]!" said {friend}.
    [Then it was {friend}'s turn to hide, and {hero} knew where to look first.
    |"It was the best place in the house," said {hero}. "I will never hide there again."
    |They laughed until their tummies hurt.]
    """,
)

SMALL_HOUSE = Plot(
    name="the small house near the forest",
    cast={"hero": unnamed("woman", genders=("female",)) + unnamed("man", genders=("male",))},
    tables={
        "gone guest": [
            ("the bread", "a family of hedgehogs"),
            ("the cabbage", "a young deer with long thin legs"),
            ("the milk", "a thin cat with two kittens"),
            ("the cheese", "five mice in a row"),
            ("the soup", "a little fox with one white ear"),
        ],
        "why": [
            "The snow was so deep that nobody could find anything to eat",
            "It had not rained all summer, and the forest was dry",
            "There had been a big storm, and many trees had fallen",
        ],
        "back": [
            "a basket of mushrooms stood in front of the door",
            "a pile of dry wood lay in front of the door",
            "there were berries on the step, red and black",
            "a ring of flowers hung on the door",
        ],
    },
    text="""
    In a small house near the forest, there lived an old {kind}. {He} lived all alone.
    [Every evening {he} put {his} food by the window and talked to the clock. |{He} had a stove, a bed, and a clock that
    ticked. |] One morning {gone} was gone!
    [{He} looked under the table.|{Hero} scratched {his} head.|] The next day it [happened again|was gone again].
    "[A thief|I will catch the thief]!" said {hero}. That night {he} [stayed awake|hid behind the stove].
    [The moon came up.|The clock ticked.|] Then the window moved, and in came {guest}. {why}.
    {Hero} put down {his} [broom|stick]. [How could {he} be angry?|{He} was not angry any more.]
    "[There is enough for all of us|You only had to knock]," {he} said.
    From then on, {he} [left the window open|put out one bowl more]. [And {he} was not alone any more.|]
    In spring, {back}.
    [{Hero} never found out who had put it there. But {he} could guess.
    |{Hero} smiled. {He} knew who had been there.
    |And at night {he} did not talk to the clock any more.]
    """,
)

MITTEN = Plot(
    name="the lost mitten",
    cast={"hero": CHILDREN, "parent": PARENTS},
    tables={
        "color": COLORS,
        "spot": ["on the sledding hill", "at the bus stop", "in front of the bakery", "by the frozen pond"],
        "end": [
            ("a snowman was wearing it. Its other arm was cold, so {hero} gave it the second mitten, too"),
            ("a mouse had moved into it and looked out of the thumb. {hero} left it there"),
            ("it hung on a fence. Somebody kind had put it there, where one could see it"),
            (
                "a small child had it on, and the child's other hand was blue with cold. {hero} gave away "
                "the second mitten, too"
            ),
        ],
    },
    text="""
    [It was the coldest day of the year.
    |"Where is your other mitten?" asked {parent}.
    |{hero} came home with one cold hand.]
    {hero} had lost a {color} mitten.
    [{Parent} had made it {parent.himself}, and it took a week.|It was the warmest mitten in the world.|]
    "Think," said {parent}. "Where [did you take it off|did you have it last]?" {hero} remembered.
    {He} had taken it off {spot} [to eat some snow|to tie {his} shoe|to pet a dog].
    {He} put on {his} boots and went back. [The snow was deep.|It was getting dark.|] {He} looked and looked.
    [There was a leaf. There was a stone.|At first {he} saw only snow.|] Then {he} saw something {color}.
    {He} came closer, and {end}.
    [{Parent} was not angry. "I have more wool," {parent.he} said.
    |{His} hands were in {his} pockets all the way home, but {he} felt warm.
    |"Did you find it?" asked {parent}. "Yes," said {hero}, and told the whole story.]
    """,
)

BALLOON = Plot(
    name="the balloon that flew away",
    cast={"hero": CHILDREN, "parent": FAMILY, "friend": CHILDREN},
    tables={
        "color": COLORS,
        "why": ["to scratch {his} nose", "to wave at a friend", "to catch a falling ice cream", "to pick up a coin"],
        "land": ["on a farm", "on a ship", "on the other side of the mountain", "in a town with a funny name"],
        "grow": [
            "Now {hero} has a friend {land}, and they write to each other every month",
            "In the summer, {hero} went to see {friend}, and they let two balloons fly together",
            "{hero} wrote back at once, and {his} letter was three pages long",
        ],
    },
    text="""
    {Parent} bought {hero} a {color} balloon [at the fair|at the market].
    [It was round and shiny.|It pulled at its string like a little dog.|] "[Hold it tight|Don't let go]," said {parent}.
    {hero} held it with both hands.
    But then {he} opened one hand {why}, [and the wind did the rest|and the string slipped away].
    Up went the balloon, [over the roofs|over the trees], smaller and smaller.
    [{hero} began to cry.|"Come back!" cried {hero}.|{hero} watched until it was only a dot.]
    "[It wants to see the world|Now it is free]," said {parent}. {Parent.he} bought {hero} a second one.
    {hero} looked at it for a long time.
    Then {he} wrote {his} name and street on a [card|piece of paper], tied it to the string, and let the second balloon
    go, too.
    "[Now it is not alone|Go after it]!" {he} called. [Three weeks later|One day], there was a letter.
    "[Hello|Dear {hero}]," it said. "Your balloon came down {land}. [It is hanging over my bed.|My dog found it.|]
    I am {friend}. [Who are you|Do you want to be my friend]?" {grow}.
    [Some things must fly away so that something else can come.|]
    """,
)

CAT_WARM = Plot(
    name="the cat who looked for a place",
    cast={"hero": CATS, "owner": CHILDREN},
    tables={
        "one no_one": [
            ("on the stove", "it was much too hot"),
            ("in the bread basket", "somebody needed the basket for bread"),
            ("on the clean wash", "somebody shouted"),
            ("on the piano", "it made a terrible noise"),
        ],
        "two no_two": [
            ("in the sun on the wall", "a cloud came and stayed"),
            ("in the flower bed", "a bee was there already"),
            ("on the car", "the car drove away"),
            ("under the bush", "it began to drip"),
        ],
        "home last": [
            ("an old box", "It was too small, and that was just right"),
            ("{owner}'s lap", "{owner} had been sitting there all the time"),
            ("{owner}'s open book", "{owner} could not read on, but {owner.he} did not mind"),
            ("{owner}'s warm bed", "{owner} moved to the side and made some room"),
        ],
    },
    text="""
    [{hero} the cat was tired.|It was a gray day, and {hero} the cat wanted to sleep.]
    {He} [needed|looked for] a soft, warm place. First {he} lay down {one}, but {no_one}.
    [{hero} jumped down.|{hero} put {his} tail up and walked away.|] Then {he} lay down {two}, but {no_two}.
    ["Meow," {he} said, and {he} was cross.|{His} ears went flat.|]
    [{He} went around the house three times.|{He} looked into every corner.|]
    "[What are you looking for|Can't you find a place], {hero}?" asked {owner}[, and scratched {his} neck|].
    Of course the cat did not answer. {He} looked at {owner} with [green|yellow] eyes. Then {he} found {home}. {last}.
    {hero} turned around [two times|three times], lay down, and put {his} nose under {his} tail.
    [Outside it began to rain.|The clock ticked.|] {He} [purred|closed {his} eyes and purred].
    [The best place had been there all along.
    |Nobody was allowed to move for two hours.
    |And if nobody woke {him}, {he} is still asleep.
    |"Good night, {hero}," said {owner} softly.]
    """,
)

ECHO = Plot(
    name="the voice in the mountain",
    cast={"hero": CHILDREN, "parent": FAMILY},
    tables={
        "bad": ["Go away", "I don't like you", "You are silly", "Be quiet"],
        "good": ["I like you", "Come and play", "You are nice", "Good morning"],
        "later": [
            "The next day somebody at school was rude to {hero}. {hero} thought of the mountain and "
            "said something nice. It took a moment, but then something nice came back",
            "From then on, {hero} always said good morning to everyone in the street. And guess what came back",
            "{hero} tried it with a neighbor who never smiled. {hero} smiled first. And the mountain was right",
        ],
    },
    text="""
    {hero} was [walking in the mountains|on a mountain] with {parent}. "Hello!" {he} called. "Hello!"
    somebody called back. [{hero} was {surprised}.|{hero} stopped.] "Who are you?" {he} shouted. "Are you?"
    said the voice. [{He} looked behind a rock, but nobody was there.|{He} looked around, but {he} saw nobody.]
    [{hero} thought that somebody was making fun of {him}.|That made {him} angry.] "{bad}!" {he} shouted. "{bad}!"
    the voice shouted back, [just as angry|just as loud]. {hero} ran to {parent}.
    "[There is a child in the mountain, and it is rude|Somebody is mean to me]," {he} said.
    {Parent} [smiled|tried not to laugh].
    "[Try something nice|Say something kind and see what happens]," {parent.he} said.
    [{hero} did not want to, but {he} did it.|] "{good}!" {he} called. "{good}!"
    said the mountain[, as friendly as could be|].
    "[It gives you what you give it|You hear what you say]," said {parent}.
    "[People are often like that, too|And not only mountains do that]." {later}.
    """,
)

ICE_CREAM = Plot(
    name="the ice cream that fell",
    cast={
        "hero": CHILDREN,
        "friend": CHILDREN,
        "seller": unnamed("ice cream man", genders=("male",)) + unnamed("ice cream woman", genders=("female",)),
    },
    tables={
        "kind_of": ["strawberry", "chocolate", "lemon", "banana", "cherry"],
        "other": ["vanilla", "honey", "mint", "coconut"],
        "trip": [
            "a dog ran between {his} legs",
            "{he} waved at a friend",
            "a wasp came too close",
            "{he} stumbled over a root",
        ],
        "end": [
            "Half an ice cream and a friend is more than a whole one",
            "From that day on, they always bought two kinds and shared them",
            "A little dog ate what was on the ground, and so everybody was happy",
            "The next day {hero} bought the ice cream, and {friend} got the first bite",
        ],
    },
    text="""
    [It was the hottest day of the summer.|It was so hot that the street was soft.]
    {hero} had [saved {his} coins|worked all morning] for one big {kind_of} ice cream.
    [{He} had waited in a long line.|It was big and round and looked perfect.]
    {He} had only taken one [lick|bite] when {trip}. Splash! The ice cream lay on the ground.
    [{hero} looked at the empty cone.|{hero} could not believe it.|] {His} eyes filled with tears.
    [{He} had no more money.|There were no more coins in {his} pocket.]
    {friend}, who was standing behind {him}, had seen it. {Friend.he} had a {other} ice cream.
    [{friend} looked at it, and then {friend.he} looked at {hero}.|{friend} did not know {hero} at all.|]
    "[Do you like {other}|Do you want half of mine]?" {friend.he} asked, and held it out.
    They [sat down on the wall|sat in the shade] and ate it together, one lick here, one lick there.
    {Seller} saw it from {seller.his} cart.
    [{Seller.he} laughed and put a new ball into {hero}'s cone.
    |"That was kind," {seller.he} said, and put a new ball into {hero}'s cone.]
    {end}.
    """,
)

ANT = Plot(
    name="the ant and the cake",
    cast={"hero": animals("ant"), "friend": unnamed("beetle", "snail", "spider")},
    tables={
        "food": ["a piece of cake", "half a cookie", "a big crumb of bread", "a cherry", "a grape"],
        "fail": [
            "pushed from behind, but it did not move",
            "pulled with all {his} legs, but it did not move",
            "sat on top and thought hard, but it did not move",
        ],
        "proud": ["I am strong. I need no help", "I found it, so I will carry it", "It is mine alone"],
        "danger": ["A bird was flying around", "The rain was coming", "A child with big shoes was coming"],
    },
    text="""
    [{hero} was the strongest ant in the hill.|{once} {He} was very strong.]
    [One day {he}|After the picnic, {he}] found {food}. It was as big as a house!
    "[That will feed us all winter|What a feast]!" said {hero}. {He} {fail}. {Friend} came by.
    "[Shall I help you|Is it heavy]?" asked {friend}. "{proud}," said {hero}.
    {Friend} [shrugged|nodded] and sat down to watch. {He} tried again, and again.
    [{His} legs shook.|{He} was out of breath.|] {danger}. [If {he} left now, it would be lost.|There was no more time.]
    "[I can't do it alone|Please help me]," said {hero} at last. [That was harder than lifting a stone.|]
    {Friend} whistled, and out of the grass came [a hundred|a thousand] ants[, who had been waiting|].
    "[One, two, three|All together]!" Up it went. [They carried it home as if it were a leaf.|It almost flew.]
    [That night they had a feast, and {friend} got the biggest piece.
    |"Why did you wait?" asked {hero}. "You had to ask," said {friend}.
    |And {hero} is still the strongest ant, because now {he} can ask.]
    """,
)

PLOTS = (DUCKS, HIDE_AND_SEEK, SMALL_HOUSE, MITTEN, BALLOON, CAT_WARM, ECHO, ICE_CREAM, ANT)
