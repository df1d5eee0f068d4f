"""Plots from far away and long ago: knights, dragons, wishes and giants."""

from __future__ import annotations

from talewright.data.bundled.grammar import Character, Plot
from talewright.data.bundled.words import CHILDREN, COLORS, GRANDPARENTS, PARENTS, animals, unnamed

PRINCES = (
    Character("the princess", "female", "princess", "beautiful princess"),
    Character("the princess", "female", "princess", "young princess"),
    Character("the prince", "male", "prince", "young prince"),
    Character("the prince", "male", "prince", "kind prince"),
)
RULERS = unnamed("queen", genders=("female",)) + unnamed("king", genders=("male",))

KNIGHT = Plot(
    name="the knight and the dragon",
    cast={"hero": unnamed("knight"), "ruler": RULERS},
    tables={
        "harm cause cure gift": [
            (
                "roars so loud that the windows shake",
                "It hurts! A bone is stuck in my tooth",
                "{He} put down {his} sword, reached in between the big teeth, and pulled out the bone",
                "The dragon sang a song of thanks. It was almost pretty",
            ),
            (
                "has burned the roof of the barn",
                "I did not mean to! I have a cold, and when I sneeze, there is fire",
                "{He} made hot tea with honey in {his} helmet and tied {his} warm scarf around the long neck",
                "Soon the fire only came when the baker needed it",
            ),
            (
                "has taken ten sheep from the hill",
                "I did not eat them! I was cold and lonely, and they are so soft and warm",
                "{He} asked the farmers for wool, and they made the biggest blanket in the world",
                "The dragon gave back the sheep, all ten of them",
            ),
            (
                "sits on the bridge and lets nobody cross",
                "I can't move! My wing is broken",
                "{He} took {his} shield and {his} belt and tied the wing to it, so that it could heal",
                "When it was well, the dragon carried people over the river",
            ),
        ],
        "trait": ["brave", "young", "small but brave", "quiet"],
        "others": ["The other knights hid under their beds", "Ten knights had run away", "No one else wanted to go"],
    },
    text="""
    [The {trait} knight lived in a castle on a hill.
    |Long ago, there was a {trait} knight.
    |In a land far away, there lived a {trait} knight.]
    One day {ruler} [called {him}|sent for {him}].
    "A dragon [lives in the mountains|has come to our land]," {ruler.he} said. "It {harm}.
    [Please help us|You must stop it]." [{others}.|]
    {Hero} rode [all day|up the mountain][, through wind and rain|, over rocks and snow|].
    [{He} was {scared}, but {he} did not turn back.|{His} knees shook, but {he} went on.|] At last {he} came to a cave.
    [Smoke came out of it.|Two yellow eyes looked out.|It was as dark as night.]
    "[Come out and fight|Come out, dragon]!" {he} called.

    Out came a green head, as big as a house. And the dragon was crying! [Tears as big as apples fell on the ground.|]
    {Hero} [was {surprised}|lowered {his} sword]. "[Why are you crying|What is the matter]?" {he} asked.
    "{cause}," said the dragon.
    [{Hero} had come to fight. But {he} knew what to do.
    |{Hero} thought for a moment.
    |"[Hold still|Wait here]," said {hero}.]
    {cure}. "{Thanks}," said the dragon. "[Nobody ever asked me what was wrong|All the others only shouted]." {gift}.

    ["Did you win?" asked {ruler}. "Yes," said {hero}. "I won a friend."
    |After that, nobody in the land was afraid of the dragon any more.
    |{Hero} hung up {his} sword. {He} did not need it again.
    |When {ruler} heard it, {ruler.he} laughed and asked the dragon to dinner.]
    """,
)

PRINCESS = Plot(
    name="the crown in the mud",
    cast={"hero": PRINCES, "friend": CHILDREN},
    tables={
        "rule": ["must not run", "must not get dirty", "must not shout", "must not climb trees"],
        "lost": [
            "fell into the duck pond",
            "sank into the mud by the stream",
            "disappeared in the tall wet grass",
            "landed in a deep puddle",
        ],
        "job": ["fed the pigs", "washed the pots", "cared for the horses", "worked in the castle garden"],
        "found": [
            "The crown hung on the tail of a very surprised duck",
            "A frog was sitting in the middle of the crown like a king",
            "The crown was there, full of mud and three snails",
            "Something gold shone between two stones",
        ],
    },
    text="""
    There was once a {hero.call} who lived in a castle.
    {He} had [a gold crown and a hundred shoes|a gold crown and a silver bed], but no friends.
    "[Remember|Sit still]," everyone told {him}. "A {kind} {rule}!"
    [So {he} sat by the window and looked out.|{He} was bored from morning till night.|]
    {One_day_out}, {he} [leaned out of the window too far|walked by the wall], and {his} crown fell [off|from {his}
    head].
    It rolled down the hill and {lost}. {Hero} ran after it. There stood {friend}, a {friend.kind} who {job}.
    "[Are you looking for something|What is wrong]?" {friend.he} asked. "[My crown is gone|I lost my crown]!"
    said {hero}[, and began to cry|].

    "[Don't cry|Come on]," said {friend}. "[We will find it|Two can find more than one]. But you will get [dirty|wet]."
    {Hero} looked at {his} white clothes. Then {he} took off {his} shoes and [jumped in|went in up to the knees].
    [It was cold and soft and wonderful!|{He} had never felt mud before. It was wonderful!|]
    [They searched and splashed and laughed.|] "Here!" called {friend}. {found}.

    [{Hero} put it on {friend}'s head. "It looks good on you," {he} said. |{Hero} laughed so hard that {he} sat down in
    the mud. |] In the evening {he} came home, [dirty from top to toe|with mud on {his} nose].
    "[What happened to you|Where have you been]?" everyone cried. "I lost a crown and found a friend," said {hero}.
    "[A {kind} can wash, you know|I am going back tomorrow]."
    [And the next day {he} went back.|After that, the crown stayed in the castle, and {hero} played outside.|{together}]
    """,
)

WISHES = Plot(
    name="three wishes",
    cast={
        "hero": CHILDREN,
        "helper": unnamed("fairy", "elf", "fish", "bird", genders=("male", "female")),
        "parent": PARENTS,
    },
    tables={
        "stuck": [
            "under a fallen branch",
            "in a thorn bush",
            "in an old net",
            "in a hollow tree",
            "between two stones",
        ],
        "first bad undo": [
            (
                "for a mountain of candy",
                "It was so big that it blocked the door, and the ants came from everywhere",
                "I wish the candy away",
            ),
            (
                "to be as big as a tree",
                "But then {his} house was too small for {him}, and the birds sat down on {his} ears",
                "I wish to be small again",
            ),
            (
                "that it would never get dark",
                "But then nobody could sleep, and the flowers hung their heads",
                "I wish the night back",
            ),
            (
                "that all {his} toys could talk",
                "But they talked all at once, and all of them wanted something",
                "I wish that the toys would be quiet",
            ),
            (
                "that everything {he} touched would turn into chocolate",
                "{His} pillow was chocolate, and so was {his} bike, and even the water",
                "I wish that it would stop",
            ),
        ],
        "last": [
            '"I give you my last wish," {he} told the {helper.kind}. The {helper.kind} had never had a '
            "wish before and cried for joy",
            '{He} thought of {parent}, who had a bad cough. "Make {parent.him} well," {he} said, and so it was',
            '"I wish for rain," {he} said, because the fields of all the farmers were dry. And it '
            "rained softly all night",
            '"I wish that you will never be stuck again," {he} told the {helper.kind}',
            "{He} put the last wish in a jar. It is still there, for a day when somebody really needs it",
        ],
    },
    text="""
    [In a magical forest, there lived a {kind} named {hero}. One day {he}|{once} {He} lived near a magical forest. One
    day {he}|{One_day}, {hero} was walking through a magical forest. There {he}] heard a thin voice.
    A {helper.kind} was stuck {stuck}! {hero} [worked until {helper.he} was free|got {helper.him} out, very carefully].
    "{Thanks}," said the {helper.kind}.
    "[You were kind, so you have three wishes|For that I will give you three wishes].
    [Use them well|Think before you wish]!" [{hero} did not think at all.|{hero} was too excited to think.]

    {He} wished {first}. [Whoosh!|] [There it was|It came true at once]. [At first it was fun.|How {happy} {he} was!|]
    {bad}. [After one day, {he} had enough.|"This is terrible," said {hero}.|] "{undo}!" {he} cried.
    [And everything was as before.|That was the second wish, and it was gone.]
    [Now only one wish was left.|"One is left," said the {helper.kind}.]
    This time {hero} [thought for a long time|sat down under a tree and thought]. {last}.

    [That was the best wish of the three.
    |The {helper.kind} smiled. "Now you know how to wish," {helper.he} said.
    |{hero} went home and was happy with what {he} had.]
    """,
)

GIANT = Plot(
    name="the giant's steps",
    cast={"hero": CHILDREN, "giant": unnamed("giant")},
    tables={
        "trouble wish fix end": [
            (
                "When the giant walked, the cups fell from the shelves",
                "nobody could sleep",
                "two boats, filled with wool, for shoes",
                "Now the giant walked as softly as a cat",
            ),
            (
                "When the giant snored, the roofs flew off the houses",
                "nobody could keep a hat on",
                "a pillow as big as a field, filled with all the feathers in town",
                "With {giant.his} head up high, the giant slept without a sound",
            ),
            (
                "When the giant was hungry, {giant.he} ate a whole field of corn",
                "there was hardly any bread",
                "a garden on the mountain, with a fence made of trees and pumpkins like houses",
                "By summer, the giant had enough to eat and gave them what was left",
            ),
            (
                "When the giant cried, the river rose and there was water in every kitchen",
                "everything was wet",
                "a stone chair next to the town, so that {giant.he} could sit with them in the evening",
                "The giant had only been lonely, and now {giant.he} did not cry any more",
            ),
        ],
        "people": ["The people were angry", "The people wanted to move away", "The people were tired of it"],
    },
    text="""
    [On a mountain above the town, there lived a giant.
    |Long ago, a giant lived above a little town.
    |{once} {He} lived in a town below a mountain, and on the mountain there lived a giant.]
    {trouble}. {people}, because {wish}. "[Somebody must talk to {giant.him}|Somebody has to go up there]," they said.
    [But everyone looked at the ground.|But nobody went.]
    "[I will go|I will do it]," said {hero}, who was [only six years old|the smallest of them all].

    {He} [climbed|walked] all morning. The giant was [sitting on a rock|washing {giant.his} feet in the lake].
    "[Hello|Good morning]!" {hero} shouted [up to the big ear|as loud as {he} could].
    The giant [looked around|picked {him} up]. "[A little one|A visitor]!" {giant.he} said.
    "Are you not afraid[ of me|]?" "[A little|Yes]," said {hero}, and {he} told {giant.him} everything.
    The giant [turned red|covered {giant.his} face]. "[I did not know|Nobody told me]," {giant.he} said.
    "[I am so sorry|I did not want that]."

    [{hero} had an idea and ran back to the town.|{hero} thought all the way down.]
    {He} [told the people|asked everybody to help], and together they made {fix}. [It took ten days.|Everybody helped.|]
    {end}.
    ["You only had to ask," said the giant.
    |The people thanked {hero}, but {he} only said, "I just went and talked."
    |On Sundays, {hero} rode through the clouds on the giant's shoulder.
    |{together}]
    """,
)

PAINTBRUSH = Plot(
    name="the magic paintbrush",
    cast={"hero": CHILDREN, "giver": unnamed("painter")},
    tables={
        "color": COLORS,
        "small_a": ["an apple", "a butterfly", "a hat", "a bunch of flowers"],
        "small_b": ["a kitten", "a drum", "a pair of skates", "a cake with candles"],
        "plan need paint": [
            (
                "a castle just for {himself}",
                "the bridge over the river broke, and the children could not get home",
                "a bridge with strong posts",
            ),
            (
                "a golden bed",
                "the well in the village dried up, and everybody was thirsty",
                "a deep well with a bucket on a rope",
            ),
            (
                "a room full of toys",
                "a family lost their house in a storm",
                "a small house with a red roof and smoke coming out",
            ),
            (
                "a crown with jewels",
                "a boat was out at sea in the fog and could not find the harbor",
                "a lighthouse with a bright yellow light",
            ),
            (
                "a big white horse",
                "it was so cold that the birds fell from the trees",
                "a sun, round and warm, over the whole village",
            ),
        ],
    },
    text="""
    [{hero} loved to paint.
    |{once} {He} loved to paint.
    |There once was a {kind} called {hero} who painted on everything.]
    [{He} painted on paper, on walls, and on stones.|But {he} was poor and had only one old brush.|]
    One day {he} [carried a bag for an old painter|shared {his} bread with an old painter].
    {giver} gave {him} a {color} brush. "[It is magic|What you paint with it will be real]," {giver.he} said.
    "[But look, there is not much paint in it|But it will not last for ever]." {hero} painted {small_a}.
    It [was real|came out of the paper]! {He} painted {small_b}, and that was real, too.
    [{He} laughed and danced around the room.|{He} could not believe {his} eyes.|]
    [Then {he} saw that the brush was getting dry.|But with every picture, there was less paint.|]
    There was just enough for one more picture. {hero} wanted to paint {plan}.

    [That night|The next day], {need}.
    {hero} [looked at the brush|held the brush in {his} hand] [for a moment|for a long time].
    Then {he} [made up {his} mind|ran outside]. With the last drop of paint, {he} painted {paint}.
    [The picture grew and grew, and it was real.|For a moment nothing happened. Then it was there.] "{hooray}!"
    the people cried. The magic was gone. [But {hero} was not sad.|The brush was now only a brush.]
    [{hero} painted with it for the rest of {his} life, and {his} pictures were good anyway.
    |The people gave {him} new paint, in every color that there is.
    |"You chose well," said {giver}, who had seen it all.]
    """,
)

LIGHTHOUSE = Plot(
    name="the light on the cliff",
    cast={"hero": CHILDREN, "grand": GRANDPARENTS, "parent": PARENTS},
    tables={
        "problem fix": [
            (
                "The oil was gone. The can was empty",
                "{He} ran to the kitchen and brought the cooking oil",
            ),
            (
                "The matches were wet",
                "{He} carried a burning stick from the stove up all the stairs, with one hand around the flame",
            ),
            (
                "The glass was white with salt, and no light came through",
                "{He} took off {his} shirt and rubbed the glass until it was clear",
            ),
            (
                "The wheel that turned the lamp was stuck",
                "{He} put {his} shoulder against the lamp and pushed it around with all {his} strength",
            ),
        ],
        "ill": ["lay in bed with a fever", "had hurt {grand.his} leg", "could not climb the stairs any more"],
        "steps": ["ninety-nine", "two hundred", "one hundred and ten"],
    },
    text="""
    {hero} lived in a lighthouse with {grand}.
    [Every evening|Each night], {grand} climbed the {steps} steps and lit the big lamp[, so that the boats could find
    their way home|].
    [{hero} often went with {grand.him} and watched how it was done.|"Never let it go out," {grand.he} always said.|]
    One day {grand} {ill}. [In the afternoon|That evening] a storm came up.
    [The waves were as high as houses.|The sky turned black.|The wind howled.|]
    And {hero}'s {parent.kind} was out at sea in the fishing boat! "The lamp," said {grand}.
    "[Somebody must light it|I can't do it]. [Do you know how|Can you do it]?" {hero} [nodded|swallowed].
    {He} was {scared}, but {he} went.

    Up and up {he} climbed, [with a lantern in {his} hand|while the wind shook the tower].
    At the top [there was trouble.|{he} stopped.] {problem}. [What now?|{hero} could have cried.|]
    Then {he} [remembered something|had an idea]. {fix}. [It was hard, but it worked.|]
    The light [shone|fell] over the black water, [round and round|far out to sea].
    [{hero} stayed awake [all night|until morning] [so that it would not go out|and sang to keep warm|].|]
    [When the sun rose|At last], {he} saw a small boat [near the rocks|in the harbor].
    [It was safe!|Somebody on it was waving.]

    "[I saw nothing but waves|It was so dark]," said {parent}, and held {him} tight, "and then I saw the light.
    [Who lit it|Was that you]?"
    [{hero} was too tired to answer. {He} was already asleep.
    |"It was {hero}," said {grand}, and {grand.he} was {proud}.
    |"[I did|It was me]," said {hero}. "The boats have to come home."]
    """,
)

STAR = Plot(
    name="the star that fell",
    cast={"hero": CHILDREN, "animal": animals("owl", "fox", "cat")},
    tables={
        "spot": [
            "in the garden",
            "in a bird bath",
            "on the roof",
            "in the middle of a field",
            "in an empty flower pot",
        ],
        "try": [
            "threw it up as high as {he} could, but it came down again",
            "tied it to a kite, but there was no wind",
            "climbed the tallest tree, but the sky was still far away",
            "put it on a ladder, but the ladder was much too short",
        ],
        "way": [
            '"Stars are light when they are happy," said {animal}. So {hero} told it every joke {he} '
            "knew. The star began to laugh, and with every laugh it rose a little",
            '"Look at the lake," said {animal}. "The sky is in it." {hero} put the star on the water '
            "where the other stars were, and they took it back",
            '"Birds fly south tonight," said {animal}. "They know the way." The last goose of all took '
            "the star gently in its beak and flew up, and up, and up",
        ],
        "light": ["no bigger than a cherry", "as small as a button", "as bright as ten candles"],
    },
    text="""
    [One night, {hero} could not sleep and looked out of the window. {He}|{once} {He} loved to look at the stars. One
    night {he}|{hero} was sitting at the window one clear night when {he}] saw a star fall down.
    It landed {spot}. {hero} [put on {his} boots and ran out|crept down the stairs and went to see].
    There lay the star, {light}. [It was warm and shook a little.|It was crying softly.]
    "I want to go home," said the star. [Its voice was like a tiny bell.|]
    "[I leaned over too far|I wanted to see what a cat is]." "[I will help you|Don't be sad]," said {hero}.
    [But how do you bring a star home?|But the sky was high.] {He} {try}.
    [{hero} sighed.|The star grew a little darker.|]

    {animal} the {animal.kind} [had been watching|came by]. {way}.
    [Higher and higher it went.|It was gone before {hero} could say goodbye.|] "[Thank you|Look up sometimes]!"
    called the star.
    [Now there is one star that blinks when {hero} opens the window.
    |"Did you sleep well?" they asked {him} at breakfast. {hero} only {smiled}.
    |When {hero} is sad, {he} looks up, and one star shines more than the others.
    |{hero} and {animal} sat outside until the sky was pink.]
    """,
)

ROBOT = Plot(
    name="the robot that learned",
    cast={"hero": CHILDREN, "parent": PARENTS},
    tables={
        "parts": [
            "an old radio and a pot",
            "tin cans and wire",
            "a broken clock and a lamp",
            "a box, two forks and a bell",
        ],
        "name": ["Bolt", "Tock", "Beep", "Tin"],
        "order result": [
            ("Clean my room", "{name} threw everything out of the window, and then the room was clean"),
            ("Water the flowers", "{name} watered them all day, and the garden became a lake"),
            ("Make breakfast", "{name} cooked the eggs in the box and the bread in the milk"),
            ("Bring me my coat", "{name} brought every coat in the street"),
            ("Draw me a cat", "{name} drew a cat on every wall of the house"),
        ],
        "feel act": [
            (
                "{hero} fell from {his} bike and cried",
                "it put a leaf on the knee, because that is how it had seen {parent} do it with a bandage",
            ),
            ("a storm frightened {hero}", "it sat by the bed and shone its little light until the storm was over"),
            ("{hero} had nobody to play with", "it went from door to door and came back with four children"),
        ],
    },
    text="""
    [{hero} built a robot out of {parts}.|{once} {He} built a robot out of {parts}.]
    It was [as tall as {he} was|no bigger than a cat], and {he} called it {name}.
    When {he} pushed the button, {name} opened its eyes[ and said hello|]. "{order}," said {hero}. {result}.
    "[No, not like that|Stop, stop]!" cried {hero}.
    [{Parent} laughed until {parent.he} had to sit down.|{Parent} did not think that it was funny.|]
    "[It did what you said|A robot only does what it is told]," said {parent}.
    "[You have to show it what you mean|You have to teach it]."
    So {hero} [showed {name} everything, step by step|took {name} along all day].
    [It was slow, like teaching a baby.|When {name} did it right, {hero} rang a bell.|]
    [Each day it did a little better.|{name} looked, and {name} learned.]

    One day, {feel}. [Nobody had told {name} what to do.|There was no order for that.]
    {name} [stood still for a moment|blinked two times]. Then {act}. {hero} [looked up|was {surprised}].
    "[Who told you to do that|Where did you learn that]?" {he} asked. "[Beep|You did]," said {name}.
    [{hero} had never taught it that. Or had {he}?
    |{hero} put {his} arm around the cold tin, and it was not so cold at all.
    |From then on, {name} was not a robot to {him}. {name} was a friend.]
    """,
)

PLOTS = (KNIGHT, PRINCESS, WISHES, GIANT, PAINTBRUSH, LIGHTHOUSE, STAR, ROBOT)
