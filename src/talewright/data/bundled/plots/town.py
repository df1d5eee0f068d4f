"""Plots in the street, at the market, in the park, in the family."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import CATS, CHILDREN, DOGS, FAMILY, GRANDPARENTS, NEIGHBOURS, PARENTS

LOST_AT_MARKET = Plot(
    name="lost at the market",
    cast={"hero": CHILDREN, "parent": FAMILY},
    tables={
        "lure": [
            "a man with a hundred balloons",
            "a cage full of chicks",
            "a woman who made candy",
            "a dog on two legs",
        ],
        "advice act": [
            (
                "If you can't see me, stay where you are",
                "So {hero} sat down right there, next to a box of lemons, and did not move",
            ),
            (
                "If we lose each other, we meet at the fountain",
                "So {hero} asked for the way to the fountain, sat down on the edge, and waited",
            ),
            (
                "If you get lost, ask somebody who works here",
                "So {hero} went to the woman who sold bread, and together they called and called",
            ),
            (
                "If you get lost, sing our song",
                "So {hero} sang, softly first and then louder. Far away, somebody sang the second line",
            ),
        ],
        "coat": ["a blue coat", "a gray coat", "a green hat", "a red scarf"],
    },
    text="""
    {hero} and {parent} went to the [big market|market] [on Saturday|to buy fruit|early in the morning].
    [There were so many people!|It was loud and full of good smells.|] "{advice}," said {parent}.
    "[Can you remember that|Will you think of that]?" "Yes," said {hero}[, but {he} was only half listening|].
    Then {hero} saw {lure}. {He} [stopped to look|went closer], [just for a moment|only for a minute].
    When {he} turned around, {parent} was gone.
    [There were only legs and bags.|People pushed past {him} on both sides.|]
    {He} saw {coat} and ran after it, but it was [somebody else|a stranger]. {hero} was {scared}.
    [{His} lip began to shake.|{He} did not know where to run.|]

    [Then {he} remembered.|What had {parent} said? Then {he} knew.] {act}.
    [It felt like a very long time.|{He} counted to one hundred, and then to one hundred again.|]
    And then [two arms picked {him} up|there was {parent}, out of breath]. "[There you are|I found you]!" said {parent}.
    "[You did just the right thing|You remembered]!"
    [{hero} held {parent.his} hand all the way home, and nobody had to tell {him} to.
    |They bought two buns and ate them on the way home.
    |"I was not lost," said {hero}. "I was only waiting." But {he} did not let go of {parent}'s hand.]
    """,
)

LEMONADE = Plot(
    name="the lemonade stand",
    cast={"hero": CHILDREN, "friend": CHILDREN, "elder": NEIGHBOURS},
    tables={
        "goal": ["a tent", "a soccer ball", "a game", "a ticket to the fair", "a big bag of candy"],
        "slow why clever": [
            (
                "It was cold and windy",
                "Who wants lemonade in the cold?",
                "They warmed it up with honey and wrote HOT on the sign",
            ),
            (
                "Nobody came by",
                "The road is empty.",
                "They put the jug on a cart and pulled it to the park, where the people were",
            ),
            (
                "People looked and walked on",
                "It looks like water.",
                "They put berries in it, and it turned pink",
            ),
            (
                "A big shop down the street sold it cheaper",
                "How can you beat a shop?",
                "They gave a song with every cup, and the shop could not sing",
            ),
        ],
        "need gift": [
            ("{elder.his} dog was sick and {elder.he} could not pay the doctor", "Soon the dog was well again"),
            ("the storm had broken {elder.his} window", "Soon there was new glass in the window"),
            (
                "{elder.his} old chair had lost a leg and {elder.he} had nowhere to sit",
                "The next day, {elder} sat in the sun in a new chair",
            ),
        ],
    },
    text="""
    {hero} and {friend} wanted to buy {goal}, but they had no money.
    [So they made lemonade.|"Let's sell lemonade," said {hero}.]
    They [squeezed lemons until their fingers hurt|mixed lemons, water and sugar] and put a table in front of the house.
    [{friend} painted a sign.|The sign said "Lemonade," with a yellow lemon on it.|] {slow}.
    [They waited and waited.|An hour went by.|] "[It is no use|Let's stop]," said {friend}.
    "{why}" {hero} [thought about it|looked at the jug]. "[Then we do it another way|Wait, I have an idea]!" {he} said.
    {clever}. [Soon there was a long line.|Then the people came, one after another.]
    By evening the box was full of coins. [They counted them twice.|It was enough for {goal}!]

    On the way to the shop they met {elder}. {Elder.he} looked {worried}.
    [They asked what was wrong.|"What is the matter?" asked {friend}.|] {Elder} told them that {need}.
    [{hero} looked at {friend}, and {friend} looked at {hero}.|] [They did not have to speak.|{friend} nodded.|]
    {hero} held out the box. "[Here|Please take this]," {he} said.
    "[We can make more lemonade tomorrow|You need it more than we do]." {gift}.
    [And {elder} came to their table every day and said that it was the best lemonade in the world.
    |The next week, {elder} brought them a bag of lemons from {elder.his} own tree.
    |They did not get {goal} that summer, but they never missed it.]
    """,
)

WRONG_BUS = Plot(
    name="the wrong bus",
    cast={"hero": CHILDREN, "friend": CHILDREN, "driver": NEIGHBOURS},
    tables={
        "goal": ["the swimming pool", "the zoo", "the cinema", "the library", "the museum"],
        "numbers": ["six and nine", "twelve and twenty-one", "eight and three"],
        "end fun": [
            ("at the sea", "They threw stones into the water and wrote their names in the sand"),
            ("in a village with more sheep than people", "A woman let them feed the lambs and gave them warm milk"),
            ("at the foot of a hill", "They climbed up and saw the whole town, as small as a toy"),
            ("at a farm", "They helped an old man to bring in the hay and got cake for it"),
            ("at an old castle", "They were king and queen and three ghosts, one after the other"),
        ],
    },
    text="""
    [It was the first time that {hero} and {friend} took the bus alone.
    |{hero} and {friend} were {excited}. Today they would take the bus alone.]
    They wanted to go to {goal}. [They had two tickets and a bag with lunch.|Everybody had told them how to do it.|]
    "This is our bus," said {hero}, and they [got on|sat down at the back].
    [They talked and laughed and did not look out of the window.|{friend} told a long story about a hamster.]
    When {friend} looked out, the houses were gone. There were only [fields|trees].
    "[I don't know this street|This looks wrong]," {friend.he} said.
    [They had mixed up {numbers}!|{hero} felt {his} heart beat.] "[It is all my fault|I was so sure]," said {hero}.
    [{friend} wanted to get off at once, but it was raining.|"What do we do now?" asked {friend}.|]

    They went to the front and told the driver. {Driver.his} name was {driver}.
    "[Don't worry|That happens every week]," {driver.he} said. "[I drive back at four|At four I go back to town]."
    [{driver.he} called their families, so that nobody would worry.|] The last stop was {end}.
    [They looked at each other.|] {fun}. [They ate their lunch in the grass.|It was much better than {goal}.|]
    At four, {driver} rang the bell, and they rode home[ in the front seats|].

    ["Where do you want to go next week?" everybody asked. "On the wrong bus," said {hero}.
    |After that, they always read the number two times. But sometimes they thought of taking the wrong bus again.
    |"It was the best mistake that I ever made," said {hero}.]
    """,
)

STRAY_DOG = Plot(
    name="the dog without a name",
    cast={"hero": CHILDREN, "owner": NEIGHBOURS, "parent": PARENTS, "dog": DOGS},
    tables={
        "spot": ["in front of the school", "behind the bakery", "in the park", "at the train station"],
        "look": ["wet and thin", "muddy from nose to tail", "cold and hungry", "tired, with a torn ear"],
        "sign": ["hung papers on every tree", "asked in every shop", "rang every bell in the street"],
        "offer": [
            "You can walk {dog.him} every day after school.",
            "My legs are old. Will you run with {dog.him} for me?",
            "{dog}'s sister has puppies. Will you take one?",
            "Come to see {dog.him} on Sundays. {dog.he} will wait for you.",
        ],
    },
    text="""
    {One_day}, {hero} found a dog {spot}. It was {look}.
    [It looked at {hero} and wagged its tail a little.|It put its head on {hero}'s shoe.]
    {hero} gave it [half of {his} lunch|a piece of {his} bread] and took it home.
    ["Can we keep it, {parent.call}?" {he} asked.|"[Can we keep it|Please, can it stay here]?" {he} asked {parent}.]
    "[It can stay tonight|For now]," said {parent}. "[But somebody may be looking for it|Maybe it has a home]."
    [{hero} washed it in the tub, and then they were both wet.
    |{hero} and the dog slept in one bed.
    |They dried it with three towels.]
    [{hero} had always wanted a dog.|{hero} hoped that nobody would come.|]
    But {he} thought of [somebody who sat alone and waited|somebody who was crying]. So {he} {sign}.
    "Found: one dog," {he} told everyone.

    [Two days later|The next day], there was a knock at the door.
    It was {owner}, and {owner.he} [held a leash|had a dog's bowl in {owner.his} hand]. "{dog}!" {owner.he} called.
    The dog [barked and ran in rings|jumped so high that it almost fell over]. So {dog} was the name!
    [{hero} tried to smile, but it was hard.|{hero} was glad and {sad} at the same time.]
    "[You could have kept {dog.him}|Thank you for not giving up]," said {owner}.
    "[Why are you crying|Do you like {dog.him} a lot]?" [{hero} could only nod.|{hero} wiped {his} eyes.]
    "[I have an idea|Listen]," said {owner}.
    "{offer}" [{hero} jumped higher than the dog.|"Yes!" said {hero}, and {dog} barked as well.|And so {hero} had a dog
    after all, or half of one, which is a lot of dog.]
    """,
)

FENCE = Plot(
    name="the painted fence",
    cast={"hero": CHILDREN, "friend": CHILDREN, "elder": NEIGHBOURS, "cat": CATS},
    tables={
        "color": ["white", "blue", "yellow", "green"],
        "shape": ["a row of little flowers", "stars", "tiny clouds", "leaves"],
        "surface": ["the clean wall", "the gray steps", "{elder}'s front door", "the white car"],
    },
    text="""
    {elder}'s fence was old and gray.
    [{hero} and {friend} wanted to help.|"We will paint it for you," said {hero} and {friend}.]
    {Elder} [gave them|bought] a big pot of {color} paint.
    "[Please paint the fence|Only the fence, please]," {elder.he} said[, and went in to rest|].
    [They painted board after board.|{hero} did the top, and {friend} did the bottom.|]
    [The sun was hot, but they sang while they worked.|Soon there was paint on their arms and in their hair.|]

    {cat}, {elder}'s cat, came to see what was going on. [{Cat.he} [sniffed at the brush|rubbed against the pot].|]
    "[Go away|Careful], {cat}!" said {friend}. Too late!
    {cat} [stepped right into the pot|fell into the pot with all four feet].
    {Cat.he} ran off, [up and down|right and left], over {surface}. Everywhere there were {color} paw prints.
    [{hero} ran after {cat.him}, but that made it worse.|"Oh no!" cried {friend}.|]
    They caught {cat} and washed {cat.his} feet [in warm water|with soap]. [{Cat.he} did not like that at all.|]
    But the prints were dry and would not come off. [They rubbed until the water was cold.|]
    "[We promised to paint only the fence|{elder} will be angry]," said {hero}.
    [{friend} looked at the prints for a long time.|{friend} put {friend.his} head to one side.]
    "[They look like flowers|That is almost pretty]," {friend.he} said. {hero} took a small brush.
    With a line here and a dot there, {he} turned the prints into {shape}.

    {Elder} came out and [stood still|looked and looked]. They told {elder.him} everything.
    Then {elder.he} began to laugh. "[All my life this house was gray|Finally it looks alive]," {elder.he} said.
    "[You must do the other side, too|Please don't wash it off]."
    [Now people stop to look when they walk by. {cat} thinks that they look at {cat.him}.
    |And {cat} got a fish, because {cat.he} was the artist.
    |The fence was nice, too, but nobody talked about the fence.]
    """,
)

BABY = Plot(
    name="the new baby",
    cast={"hero": CHILDREN, "baby": CHILDREN, "grand": GRANDPARENTS},
    tables={
        "jealous": [
            "Nobody had time to play",
            "Everyone looked into the crib and nobody looked at {him}",
            "All the presents were for the baby",
            "{He} had to be quiet all day long",
        ],
        "tried": ["rocked the crib", "sang a song", "walked up and down", "warmed the milk"],
        "works": [
            "made the face of a fish",
            "put a sock on {his} hand and let it talk",
            "quacked like a duck",
            "hid behind {his} hands and came out again",
            "sneezed, very loudly",
        ],
        "first": ["the first word that {baby} said", "the first step that {baby} took"],
    },
    text="""
    There was a new baby at home, and {baby.his} name was {baby}.
    [Everybody was {happy}, but not {hero}.|{hero} was not sure that {he} liked it.] {jealous}.
    "[Not now, {hero}|Wait a little, {hero}]," they said, [all day long|again and again].
    "[When does {baby.he} go back|Can we give {baby.him} back]?" asked {hero}.
    [They laughed, but {hero} had not made a joke.|{Grand} smiled. "Not today," {grand.he} said.]
    One evening {baby} cried and cried.
    [{baby.his} face was as red as a tomato.|It was so loud that the neighbors knocked on the wall.|] [Mom {tried}.|]
    Dad [sang|counted sheep out loud]. {Grand} [looked for the song that always worked|shook a bunch of keys].
    Nothing helped. {hero} put {his} hands over {his} ears.
    [Then {he} went to the crib.|At last {he} went to see for {himself}.]

    {hero} looked at {baby}, and {baby} looked at {hero}. [It was quiet for one second.|] Then {hero} {works}.
    {baby} stopped crying. {baby.his} mouth opened, and out came a small, round laugh.
    [It was {baby.his} first laugh!|Nobody had heard {baby.him} laugh before.] "[Do it again!|How did you do that?]"
    everyone said. {hero} did it again and again, until {baby} fell asleep[ with one hand around {hero}'s finger|].

    "[You are the only one who can do that|That is something no grown-up can do]," said {grand}.
    [{hero} was {proud}.|{hero} felt tall.]
    ["You may keep {baby.him}," {hero} said the next morning. "I will help."
    |From then on, when {baby} cried, they called {hero}.
    |And {first} was for {hero}, of course.]
    """,
)

BIKE = Plot(
    name="learning something hard",
    cast={"hero": CHILDREN, "helper": FAMILY, "friend": CHILDREN},
    tables={
        "skill fail tip moment": [
            (
                "ride a bike",
                "{He} fell to the left, and then {he} fell to the right",
                "Don't look at the wheel. Look at where you want to go",
                "{He} looked at the tree at the end of the road, and the bike went straight to it",
            ),
            (
                "swim",
                "{He} kicked and splashed and went under like a stone",
                "Lie on the water as if it were your bed",
                "{He} lay back and breathed, and the water carried {him}",
            ),
            (
                "skate",
                "{His} feet went one way and the rest of {him} went the other way",
                "Bend your knees and make small steps, like a duck",
                "{He} bent {his} knees and walked like a duck, and then the duck began to glide",
            ),
            (
                "whistle",
                "Only air came out, and once a bit of bread",
                "Make your lips small, as if you blow on hot soup",
                "{He} thought of soup and blew, and out came one clear note",
            ),
            (
                "tie shoes",
                "The knot fell apart, or it would not open any more",
                "Make two ears like a rabbit, and let one ear run around the other",
                "{He} made two ears, one ran around, and the knot held",
            ),
            (
                "jump rope",
                "The rope hit {him} on the head, and then it caught {his} foot",
                "Listen to the rope. Jump when you hear it touch the ground",
                "{He} closed {his} eyes and listened, and the rope went by under {his} feet",
            ),
        ],
        "count": ["ten", "twenty", "a hundred", "fifty"],
    },
    text="""
    [All the children in the street could {skill}. Only {hero} could not.
    |{hero} wanted to learn how to {skill}.
    |{once} {He} wanted to {skill}, like {his} friend {friend}.]
    {He} tried it [in the yard|when nobody was looking|after school]. {fail}.
    {He} tried [again|{count} times], [but it was no better|and it only got worse].
    [{friend} said that it was easy, and that did not help.|"It is easy," said {friend}. But it was not.|]
    "[I can't do it|I will never learn it]!" {hero} cried[, and threw {himself} on the grass|].
    {Helper} sat down next to {him}. "[You can't do it yet|Say yet]," {helper.he} said.
    "[I needed a whole summer|I have a scar from it, look]." [{hero} had to laugh a little.|{hero} wiped {his} nose.]
    "[Try this|I will tell you a secret]," said {helper}. "{tip}."

    {hero} [stood up and tried once more|took a deep breath]. {moment}. "[I did it|It works]!" {he} shouted.
    [Then {he} lost it again, but that did not matter.|It was only for a moment, but it had worked.|]
    {He} did it again, and again, until [it was dark|it was time for dinner]. [{helper} clapped each time.|]
    [A year later, {he} showed a little child how to do it. "It takes time," {he} said.
    |The next day {friend} came by. "See, it is easy," said {friend}. "Now it is," said {hero}.
    |{slept}
    |Since then {hero} does not say "I can't." {He} says "not yet."]
    """,
)

PLOTS = (LOST_AT_MARKET, LEMONADE, WRONG_BUS, STRAY_DOG, FENCE, BABY, BIKE)
