"""Plots under the open sky: hills, gardens, snow, water and wind."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import CATS, CHILDREN, COLORS, FAMILY, GRANDPARENTS, NEIGHBOURS, PARENTS

PACKED_BAG = Plot(
    name="the packed bag",
    cast={"hero": CHILDREN, "parent": FAMILY, "friend": CHILDREN},
    tables={
        "tool doubt trouble fix": [
            (
                "a long rope",
                "We are not going to climb.",
                "The path was gone. Rain had washed it away, and the hill was steep and full of mud",
                "{He} took out the rope. They tied it to a tree and held on to it, one after the other, "
                "until they were down",
            ),
            (
                "a flashlight",
                "The sun is up.",
                "They had stayed too long. The sun went down, and soon nobody could see the path",
                "{He} took out the flashlight. A round white light fell on the ground, and they followed "
                "it step by step",
            ),
            (
                "a whistle",
                "We are not playing a game.",
                "A thick fog came down. {friend} had walked ahead, and now they could not see {friend.him} anywhere",
                "{He} took out the whistle and blew it as hard as {he} could. {friend} heard it and came back to them",
            ),
            (
                "a ball of string",
                "What can you do with string?",
                "{friend}'s shoe broke. The strap was torn, and the shoe fell off with every step",
                "{He} took out the string. They wrapped it around the shoe four times, and it held all the way home",
            ),
            (
                "a big blanket",
                "It is so warm today.",
                "The wind turned cold, and it began to rain. They had no coats with them",
                "{He} took out the blanket. They sat under a rock and wrapped it around all three of them "
                "until the rain was over",
            ),
            (
                "a bell",
                "Are you a goat?",
                "A herd of cows stood on the path and did not want to move",
                "{He} took out the bell and rang it. The cows thought that it was time for milk, and off "
                "they went to the barn",
            ),
            (
                "a jar of honey",
                "We have enough bread.",
                "{friend} sat down on a stone and said that {friend.he} was too tired and hungry to take one more step",
                "{He} took out the honey. They ate it with their fingers, and then {friend} could walk again",
            ),
        ],
        "goal": ["the top of the hill", "the old castle", "the big waterfall", "the cave in the rocks", "the lake"],
        "lunch": ["bread and cheese", "apples and nuts", "eggs and bread", "sandwiches"],
    },
    text="""
    [{One_day_out}, {hero} went for a walk with {parent} and {his} friend {friend}.
    |{hero} and {friend} were going for a long walk with {hero}'s {parent.kind}.]
    They wanted to see {goal}. [{Parent} packed {lunch}.|For lunch they took {lunch}.|] {hero} packed {tool}.
    [Nobody had told {him} to.|] "[What is that for|Why do you need that]?" asked {friend}.
    "{doubt}" {hero} [shrugged|only smiled|closed the bag]. "[You never know|It may be of use|Just in case]," {he} said.

    [They walked for hours.|The way was long.|]
    [They [saw|heard] [birds|a fox|a deer] and [jumped over|crossed] a little stream.
    |They sang on the way and counted the birds.
    |] [At last they came to {goal}, and it was [beautiful|worth the walk].
    |At noon they reached {goal} and ate their lunch.
    |] [{friend} did not want to leave.
    |]

    On the way back, something [happened|went wrong]. {trouble}.
    [{friend} was {worried}. "What do we do now?" {friend.he} [asked|cried].|Even {parent} looked {worried}.]
    "[Wait|I know]," said {hero}, and {he} opened {his} bag. {fix}. [It worked!|]

    [At home
    |When they got home], [they drank hot chocolate and told everybody about it.
    |{parent} put {parent.his} hand on {hero}'s head.
    |they were tired and {happy}.]
    "[You saved the day|I am glad that you brought it|That was clever]," said {friend}.
    [The next time they went out, {friend} [packed|brought] {tool}, too.
    |"What will you pack next time?" {friend.he} asked. "I don't know yet," said {hero}. "That is why I have to think."
    |After that, {hero} always had {tool} in {his} bag.
    |And nobody ever laughed about {hero}'s bag again.]
    """,
)

KITE = Plot(
    name="the kite in the tree",
    cast={"hero": CHILDREN, "friend": CHILDREN, "elder": NEIGHBOURS},
    tables={
        "color": COLORS,
        "shape": ["a bird", "a dragon", "a fish", "a star", "a butterfly"],
        "try_a": [
            "threw a stick at it, but the stick got stuck as well",
            "shook the tree, but only leaves came down",
            "tried to climb, but the lowest branch was too high",
            "jumped and jumped, but nobody can jump that high",
            "pulled the string, but the string broke",
        ],
        "job how": [
            ("to carry the wood into my shed", "My back hurts"),
            ("to pick my plums before the wind shakes them down", "The wind is faster than I am"),
            ("to find my glasses", "I can't look for them because I can't see"),
            ("to paint my gate", "I have the paint, but no time"),
            ("to chase the hens back into the yard", "Somebody left the gate open"),
        ],
    },
    text="""
    [{hero} had made a kite.|{once} {He} had made a kite.]
    It was {color} and [had the shape of {shape}|looked like {shape}].
    [It took {him} two days to make.|{He} had painted it {himself}.|]
    [On the first windy day|When the wind came|One windy morning], {he} ran to the field with {friend}.
    The kite [rose|climbed] [higher and higher|up, up, up]. "[Look at it go|It can fly]!" {friend} shouted.

    Then the wind [turned|changed].
    The kite [dropped|came down] and [got stuck|was caught] in the top of [a tall tree|the old oak]. {hero} {try_a}.
    [{friend} tried too, but {friend.he} had no more luck.|]
    [{hero} was {sad}.|"[It will stay there for ever|I will never get it back]," said {hero}.|]

    "[Who has a ladder|Who could help us]?" asked {friend}.
    They [went|ran] to the house of {elder}, who lived [near the field|at the end of the road].
    "[I have a ladder|You may have my ladder]," {elder.he} said, "but first I need two [strong|quick] helpers {job}.[
    {how}.|]"
    {hero} and {friend} [looked at each other|nodded] and [got to work|began at once].
    [With three it was easy.|It took an hour, but it was fun.|]

    Then {elder} carried the ladder to the tree.
    {elder.he} held it [with both hands|so that it did not shake], and {hero} climbed up and [freed|untied] the kite.
    [Only [the tail was torn|one corner was torn]. {Elder} even had [tape|glue|needle and thread] for that.|]
    [{Soon} the kite was in the air again, [far away from the tree|in the middle of the field, where there were no
    trees].
    |Then all three of them flew the kite, and {elder} laughed like a child.]
    [From then on, {hero} looked for trees before {he} looked for wind.
    |After that, they often went to see {elder}, even when nothing was stuck in a tree.
    |"If you ever need us, we are there," said {hero}. "And the other way round," said {elder}.]
    """,
)

SEED = Plot(
    name="the seed that was slow",
    cast={"hero": CHILDREN, "grand": GRANDPARENTS},
    tables={
        "plant size use": [
            ("a sunflower", "taller than {hero}", "In autumn, its seeds fed the birds."),
            (
                "a pumpkin",
                "so round that {hero} could sit on it",
                "In autumn, they made soup of it for the whole street.",
            ),
            (
                "a bean",
                "as high as the roof of the shed",
                "They ate the beans with butter, and {hero} kept one to plant again.",
            ),
            ("a tomato plant", "full of little red balls", "{hero} gave one tomato to each friend at school."),
            (
                "an apple tree",
                "as high as {his} knee",
                '"One day you will sit under it," said {grand}, "and you will have to wait again."',
            ),
            ("a rose", "full of white flowers", "{hero} cut one and gave it to {grand}."),
        ],
        "pot": [
            "a little pot",
            "an old cup",
            "a corner of the garden",
            "a box by the window",
            "the ground near the fence",
        ],
        "mistake bad": [
            ("gave it ten cups of water", "Too much water is as bad as none"),
            ("dug it up to see if it was alive", "A seed does not like to be looked at"),
            ("put it in the oven, where it was warm", "It needs sun, not fire"),
            ("sang to it all day and forgot the water", "It likes songs, but it likes water more"),
            ("shouted at it to hurry", "You can't make it hurry"),
        ],
    },
    text="""
    [{hero} got a seed from {grand}.
    |{once} One day, {grand} gave {him} a seed.
    |{One_day} in spring, {hero} found a seed in {grand}'s coat. "You may have it," {grand.he} said.]
    It was [small and brown|no bigger than a tooth|flat and gray]. "What is [in it|inside]?" {he} asked.
    "[Plant it and wait|You will see]," said {grand}.
    {hero} put the seed into {pot} and covered it with [earth|soft earth].

    [The next day|The next morning], {he} [ran to look|went to look]. There was nothing.
    The day after, there was still nothing. [{hero} was not good at waiting.|Waiting was hard for {hero}.|]
    So {he} {mistake}. "[Stop|Oh no]," [said {grand} and laughed|{grand} said kindly]. "{bad}.
    [A cup of water each day|A little water and a lot of sun], that is all. The rest is [time|waiting]."

    So {hero} [learned to wait|waited].
    [Each morning {he} gave the seed [a bit of|some] water and said hello.|{He} made a mark on the wall for each day.|]
    [One week went by, then two.|It rained, and the sun shone, and it rained again.|]
    [Some days {he} thought that it was dead.|]
    Then one morning there was something green, [as thin as a hair|as small as an ant]!
    "[It is here|It came up|It is awake]!" {hero} [shouted|called], and {he} [danced around it|ran to tell everybody].

    [All summer it grew.|It grew every day after that.|From then on it did not stop.|]
    It was {plant}, and [in the end|by the end of summer] it was {size}.
    {use} ["Was it worth the wait?" asked {grand}. "[Yes|Oh yes]," said {hero}.|{hero} learned that some things cannot
    be fast.|And when {his} friends could not wait for something, {hero} told them about the seed.|]
    """,
)

SNOWMAN = Plot(
    name="the snowman's hat",
    cast={"hero": CHILDREN, "friend": CHILDREN, "parent": PARENTS},
    tables={
        "nose": ["a carrot", "a long stick", "a red pepper", "a pine cone"],
        "eyes": ["two black stones", "two nuts", "two blue buttons", "two bottle tops"],
        "hat": ["an old black hat", "a straw hat", "a red cap", "a cook's hat", "a green hat with a feather"],
        "guest habit": [
            ("a family of mice", "asleep and curled up"),
            ("a little bird", "safe from the wind"),
            ("a squirrel", "with all its nuts"),
            ("a stray kitten", "blinking in the sun"),
        ],
        "gift": ["some crumbs of bread", "a handful of oats", "some warm straw", "a bit of wool"],
    },
    text="""
    [It had snowed all night.|In the morning, everything was white.|"Snow! Snow!" shouted {hero}.]
    {hero} put on {his} [coat|boots] and [warm|thick] gloves and ran out [into the yard|to get {friend}].
    [The snow was deep and just right for a snowman.|"Let's make a snowman," {he} said to {friend}.|]

    They rolled [a big ball, a middle ball and a small ball|three big balls][ and put them on top of each other|].
    [It was hard work.|They laughed and puffed.|]
    {hero} gave the snowman {nose} for a nose, and {friend} gave it {eyes} for eyes. {Parent} [brought|found] {hat}.
    ["[Now it is done|Now it looks fine]," said {friend}.|]
    [They called it [Mr. Frost|Mr. Cold|Snowy].|The snowman looked at them and seemed to smile.|]

    [[Every day|Each day after school], they [came to say hello|played beside it].|]
    But [after a week|one day|when March came], the sun grew warm.
    [The snowman got [thinner and thinner|smaller and smaller].|] [The nose fell off.|The eyes fell off.|]
    "[It is going away|It is melting]!" {hero} said. {He} was {sad}.
    [An umbrella did not help.|It was too heavy to carry into the shade.|]
    "[Snow turns into water|It has to go]," said {parent}, "and the water [feeds the flowers|goes to the river].
    [It will come back next winter|Winter always comes back]."

    [One morning|A few days later], only the hat lay [in the grass|on the wet ground].
    [{hero} wanted to pick it up. Then {he} [stopped|stood still].|] "[Come here|Look], {friend}! [But be quiet|Quiet]!"
    Inside the hat was {guest}, {habit}. [The hat was a house now.|It had found a home.|]
    {hero} and {friend} [brought|fetched] {gift} and were very [quiet|still]. [They left the hat where it was.|]
    [That year they missed their snowman a little less.
    |"I think the snowman left it there for that," said {friend}.
    |When the snow came back, they made a new snowman, and {parent} found a new hat for it.]
    """,
)

FISHING = Plot(
    name="the day at the lake",
    cast={"hero": CHILDREN, "grand": GRANDPARENTS},
    tables={
        "junk use": [
            ("an old boot", "{Grand} filled it with earth and planted a flower in it"),
            ("a tin can", "{Grand} cleaned it, and it held their worms"),
            ("a broken umbrella", "When it began to rain, half of them stayed dry"),
            ("a hat full of mud", "{Grand} washed it in the lake and put it on {hero}'s head"),
            ("a rusty key", "They spent an hour making up what it might open"),
            (
                "a bottle with a letter in it",
                '"Hello from the other side of the lake," said the letter, and they wrote back',
            ),
        ],
        "snack": ["bread and butter", "cold pancakes", "two apples", "a cake with nuts", "sandwiches with egg"],
    },
    text="""
    [Early one morning|Before the sun was up|One Sunday], {grand} [woke {hero}|knocked on {hero}'s door].
    "[The fish are awake|Today we go fishing]," {grand.he} said.
    They [walked|rode] to the lake with two rods[, a pail and {snack}|].
    [The water was as flat as a mirror.|There was fog on the water.|A duck swam by.|]
    [{hero} had never [fished|caught a fish] before.|]
    [{He} wanted to catch the biggest fish in the lake.|"I will catch ten!" {he} said.|]

    They sat [in the boat|on the bank] and waited. "[When will they come|Is it always like this]?" asked {hero}.
    "[Fish don't have clocks|You must be still]," said {grand}.
    [{hero} tried to be still, but {his} feet were not.|The sun came up, slow and red.|] Then {his} line [moved|jumped]!
    {He} pulled and pulled. {Soon} it came out of the water: {junk}.
    [{hero} was [so angry that {he} wanted to throw it back|near to tears].|{hero}'s face fell.]
    But {grand} [laughed|clapped]. "[That is a rare fish|You caught something]," {grand.he} said. {use}.

    [They ate {snack}. And then|They waited some more. And then|In the afternoon], the line [moved|pulled] again, and
    this time it was [alive|a real fish]!
    It was [no longer than {hero}'s hand|very small].
    [It looked at {him} with one round eye.|It opened and closed its mouth.|]
    "[It is a baby|It is so small]," said {hero}. {He} [thought for a moment|held it gently].
    Then {he} [put it back|let it go] into the water. ["[Grow up first|Go home]!" {he} told it.|]
    [It flicked its tail and was gone.|]

    They went home with an empty pail.
    ["[What did you catch|Did you catch anything]?" the neighbors asked. "[A good day|Nothing, and it was wonderful],"
    [said {hero}|{hero} answered].
    |] [{Grand} winked.
    |{Grand} nodded, and they both laughed.
    |] [They went back every Sunday that summer.
    |{hero} slept deeply that night and dreamed of silver fish.
    |A year later, {he} caught a big one, and {he} was sure that it was the same fish.]
    """,
)

SANDCASTLE = Plot(
    name="the castle by the sea",
    cast={"hero": CHILDREN, "other": CHILDREN, "parent": PARENTS},
    tables={
        "deco": ["shells", "white stones", "feathers", "green glass", "sea grass"],
        "flag": ["a paper flag", "a red leaf on a stick", "a feather", "a small white flag"],
        "plan result": [
            (
                "dig a deep ditch around it, with a way out for the water",
                "The wave ran into the ditch, went around the castle, and flowed back to the sea",
            ),
            (
                "build it farther from the water, where the sand is dry",
                "The water ran up the sand, but it stopped three steps before the wall",
            ),
            (
                "build a wall of stones in front of it",
                "The wave hit the stones, splashed high, and turned back",
            ),
        ],
    },
    text="""
    [{hero} and {parent} [were|spent the day] at the beach.|{One_day_out}, {hero} went to the beach with {parent}.]
    [The sea was blue and loud.|The sand was hot.|]
    {hero} built a castle [close to the water, where the sand was wet|at the edge of the sea].
    [It had [four towers|a high tower] and a [gate|wall] of {deco}.|] On top {he} put {flag}.
    [{He} was {proud} of it.|"It is the best castle in the world," {he} said.|]

    Then a wave came. [Swoosh!|] It [ran over the sand|rolled up the beach] and took half of the castle with it.
    [{hero} [built it up|made it whole] again. [Another wave came|The next wave was bigger], and [all was gone|there was
    nothing left but a bump]. |] "[Bad sea|Go away]!"
    {he} shouted [and kicked the water|at the sea].

    A {other.kind} [with a yellow pail|in a blue hat] had been watching. "I am {other}," {other.he} said.
    "[The sea is not bad|The sea can't help it]. It [comes up|grows] every afternoon. [My mom|My dad] told me."
    [{hero} wiped {his} eyes.|{hero} sat down in the sand.|] "So what can we do?" {he} asked.
    {other} [drew a line in the sand|looked at the waves|thought about it]. "We could {plan}," {other.he} said.

    They [worked|dug and carried] [side by side|together] [until noon|for a long time].
    [{other} found more {deco}.|{Parent} brought them something to drink.|]
    [This castle was bigger than the first.|It was the biggest castle on the beach.|] Then [a big wave|the sea] came.
    [They held their breath.|They held hands.|] {result}. The castle [stood|was safe]! "[We did it|It works]!"
    they cried.

    [When it was time to go, they left the castle for the crabs.
    |"[Will you be here|Are you here] tomorrow?" asked {other}. "Yes," said {hero}, and they both were {happy}.
    |In the evening they [sat|stood] on the wall and thanked the sea for waiting.
    |{hero} had lost a castle and found a friend.]
    """,
)

HURT_BIRD = Plot(
    name="the bird that could not fly",
    cast={"hero": CHILDREN, "parent": FAMILY},
    tables={
        "bird": ["a sparrow", "a robin", "a young crow", "a blue jay", "a swallow"],
        "spot": ["under the kitchen window", "under a bush", "beside the road", "on the steps of the school"],
        "bed": ["a shoe box", "a straw basket", "an old hat", "a drawer"],
        "food": ["seeds", "little worms", "crumbs and water", "berries"],
        "name": ["Peep", "Feather", "Cloud", "Button", "Sky"],
        "season back": [
            ("In spring", "a bird sat on the window and tapped with its beak"),
            ("Some weeks later", "a song came from the tree by the window"),
            ("A year later", "there was a nest above the door, with four eggs in it"),
            ("One morning", "a small feather lay on the window, like a letter"),
        ],
    },
    text="""
    [{One_day}, {hero} found {bird} {spot}.
    |{hero} was on {his} way home when {he} saw {bird} {spot}.
    |{once} {One_day}, {he} found {bird} {spot}.]
    It [did not fly away|hopped, but it did not fly]. One wing [hung down|was hurt].
    [Its heart beat fast.|It looked at {him} with a black eye.|]
    {hero} [took off {his} scarf|took {his} cap], [wrapped it around the bird|put the bird in it], and carried it home
    [very slowly|as if it were made of glass].

    ["[Can we help it|Will it die], {parent.call}?" {he} asked.|"[Can we help it|Will it die]?" {he} asked {parent}.]
    "[We can try|Let's see]," said {parent}.
    They [made a bed|made a nest] of [soft cloth|dry grass] in {bed}, and {parent} [tied up the wing|held the wing still
    with a thin bandage].
    "[Now it needs food and rest|It must rest now]." {hero} called the bird {name}.
    {He} gave it {food} [every hour|each morning and each evening].
    [At first, {name} would not eat. Then it took one bite, and then more.|{name} ate out of {his} hand.|]
    [{hero} talked to it softly.|{hero} even did {his} homework next to it.|]

    [Day by day|After two weeks], the wing got [better|stronger].
    [{name} flew [from the chair to the lamp|once around the room].|]
    {hero} [laughed|clapped], but then {he} [grew quiet|was sad, too]. "[Can't I keep it|Can't it stay with me]?"
    {he} asked.
    [{Parent} opened the window a bit. Outside, other birds were calling.|{Parent} put an arm around {him}.|]
    "[What do you think {name} wants|What is a wing for]?" asked {parent}.

    {hero} [looked at the bird|thought about it all night].
    Then {he} [carried it into the garden|opened the window wide] and held out {his} hands.
    [{name} [sat still for a moment|shook its feathers].|]
    Then it [flew up|rose] over the [fence|roof] and [into the blue sky|was gone].
    [{hero} waved until {he} could not see it any more.|]
    [{His} hands felt empty, but {his} heart did not.|"[Goodbye|Good luck]!" {he} called.|] {season}, {back}.
    [{hero} knew who it was.|"{name}!" {he} said.|{hero} smiled all day.|]
    """,
)

CAT_IN_TREE = Plot(
    name="the cat on the roof",
    cast={"hero": CHILDREN, "friend": CHILDREN, "cat": CATS},
    tables={
        "place why": [
            ("in the tall pine tree", "a dog had chased {cat.him} up there"),
            ("on the roof of the barn", "{cat.he} had followed a bird"),
            ("on top of the school", "{cat.he} had wanted to see the moon from close by"),
            ("on the old bridge post", "{cat.he} had run from the thunder"),
        ],
        "bait sound": [
            ("a can of fish", "the sound of the can"),
            ("a bowl of milk", "the sound of the spoon on the bowl"),
            ("a piece of cheese", "the paper around the cheese"),
        ],
        "way": [
            "a long board, which they leaned against it",
            "a washing basket on a rope, which they pulled up",
            "a ladder, which they put in place",
        ],
    },
    text="""
    "Meow! Meow!" [Somebody was calling for help.|It came from high above.|] {hero} and {friend} looked up.
    {cat}, {hero}'s cat, sat {place}. {cat.he} had been [missing|away] since [last night|breakfast].
    [{Cat.he} was there because {why}.|Maybe {why}.] "[Come down|Jump], {cat}!" [called|cried] {hero}.
    {cat} looked down and [shook|closed {cat.his} eyes].
    [It is easy for a cat to go up. Down is another thing.|{Cat.he} did not dare.|]

    "I will climb up," said {hero}. "[No|Don't]," said {friend}.
    "[Then two of you will be stuck|If you fall, you break a leg]."
    [{hero} knew that {friend} was right.|That was true.|] [So they sat down to think.|They thought hard.|]
    [It was getting dark.|It began to rain a little.|]
    "[A cat does not do what you say|A cat never comes when you call]," said {friend}.
    "[It does what it wants|A cat comes when it wants]. What does {cat} want?" {hero} [jumped up|smiled].
    "[Dinner|I know]!" {he} said.

    {He} ran home and [came back with|got] {bait}. {friend} got {way}.
    {hero} [stood below|stayed down] and made as much noise as {he} could.
    When {cat} heard {sound}, {cat.his} ears [went up|moved].
    [{Cat.he} forgot to be afraid.|{Cat.he} stretched out one paw, then another.|]
    [Slowly|Step by step|With a loud meow], {cat.he} came [down|to it], [and soon {cat.he} was in {hero}'s arms|straight
    into {hero}'s arms].
    [{Cat.his} fur was wet and cold.|{Cat.he} purred like an engine.|]

    [{cat} ate everything and slept for a whole day.
    |"You are clever," {hero} told {friend}. "We both are," said {friend}.
    |After that, {cat} stayed on the ground. Well, for a week.
    |{hero} dried {cat.him} with a towel. "Next time, learn the way down first," {he} said.]
    [{friend} got to pet {cat.him} as long as {friend.he} liked.|]
    """,
)

PLOTS = (PACKED_BAG, KITE, SEED, SNOWMAN, FISHING, SANDCASTLE, HURT_BIRD, CAT_IN_TREE)
