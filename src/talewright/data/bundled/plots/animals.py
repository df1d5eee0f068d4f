"""Plots among animals, who talk but otherwise do as animals do."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import animals, unnamed

SQUIRREL = Plot(
    name="the squirrel's nuts",
    cast={"hero": animals("squirrel"), "friend": animals("mouse", "hedgehog", "mole", "robin")},
    tables={
        "spot": [
            "under the oak",
            "beside the stream",
            "behind the big stone",
            "near the fallen tree",
            "under the fern",
        ],
        "sign gone": [
            ("a red leaf on top", "the wind had taken the red leaf away"),
            ("three small stones in a row", "the deer had kicked the stones all over the place"),
            ("a stick in the ground", "there were a thousand sticks in the forest"),
        ],
        "find": [
            '"I can smell nuts through the snow. Dig here, and here." {hero} dug',
            '"Think of the day you hid them. Where did you hear the water?" {hero} closed {his} eyes '
            "and turned until it sounded right",
            '"Look, a little tree stands here that was not here last year." One of the nuts had grown, '
            "and the others were next to it",
        ],
    },
    text="""
    [It was autumn, and the leaves were red and gold.
    |{once} {He} lived in an old tree.
    |In a forest, there lived a squirrel named {hero}.]
    {hero} [gathered nuts|ran up and down the trees for nuts] [from morning till night|all day long], because winter was
    coming.
    {He} hid them {spot}. To find them again, {he} marked the place with {sign}.
    [{His} friend {friend} the {friend.kind} came by.|A {friend.kind} named {friend} watched {him}.]
    ["Why do you work so hard?" asked {friend}. "Winter is long," said {hero}.
    |"Will you remember where they are?" asked {friend}. "I never forget anything," said {hero}.]

    Then the snow came. [It covered everything.|The whole forest was white and still.|] {hero} was hungry.
    [{He} ran to get {his} nuts|{He} came down from {his} tree], but {gone}.
    [{He} dug [here and there|a hole here and a hole there] and found [only cold earth|only roots and stones].|]
    [{His} paws hurt.|{His} tummy was empty.|]
    "[I have forgotten|I can't find them]," {he} said [to {friend}|when {friend} came along].
    [It was not easy to say that.|{His} tail hung down.|] [{friend} did not laugh.|]
    "[Let me help|Two can look better than one]," said {friend}.

    {find}. [And there they were|Soon they had them]: nuts, nuts, and more nuts!
    [They sat in the warm hole of the tree and ate.|They carried them home together.|]
    {hero} [gave half of them to {friend}|pushed the biggest ones over to {friend}].
    "[Next year|Next autumn]," {he} said, "[you must help me hide them|I will tell you where they are].[ Then there are
    two who remember.| Two heads hold more than one.|]"
    [The snow fell, but inside it was warm, and nobody was hungry.
    |And some nuts stayed in the ground, as they always do. They are trees today.
    |]
    """,
)

SMALL_DOG = Plot(
    name="what the small dog found",
    cast={"hero": unnamed("dog"), "owner": unnamed("woman", genders=("female",)) + unnamed("man", genders=("male",))},
    tables={
        "thing smell place": [
            ("glove", "bread", "the bakery, where {owner} stood behind the bread"),
            ("hat", "fish", "the harbor, where {owner} was mending a net"),
            ("shoe", "horses", "the stable, where {owner} stood on one leg"),
            ("scarf", "flowers", "the flower shop, where {owner} looked everywhere for something"),
            ("key", "apples", "the apple garden, where {owner} sat in front of a closed door"),
            ("purse", "coffee", "the little cafe, where {owner} turned all the pockets inside out"),
        ],
        "spot": ["in the grass", "in the snow", "under a bench", "on the road", "at the bus stop"],
        "who offer": [
            ("a cat", "I will give you a fish head for it"),
            ("a big dog", "Give it to me, or I will take it"),
            ("a crow", "It will look nice in my nest"),
            ("a fox", "Dig a hole and keep it. Nobody will know"),
        ],
    },
    text="""
    [One day, a small dog found a {thing} {spot}.
    |A small dog had no home and no name. One day {he} found a {thing} {spot}.
    |There once was a small dog who lived on the street. One morning, {he} found a {thing} {spot}.]
    {He} [sniffed at it|put {his} nose to it]. It smelled of {smell} and of somebody kind.
    ["[Somebody has lost this|Someone must miss it]," thought the dog.|] [{He} took it in {his} mouth, very carefully.|]

    On the way {he} met {who}. "[What have you got there|Is that for me]? {offer}."
    The dog [shook {his} head|growled softly], [because {his} mouth was full|but did not let go].
    [It was not {his} {thing}, so {he} could not give it away.|"It is not mine to give," {he} thought.|]

    {He} followed the smell of {smell} [down the street|through the town], [around a corner|over a bridge], and past the
    school.
    [Sometimes {he} lost it, and then {he} stopped until the wind brought it back. |It got stronger and stronger. |The
    smell led {him} left, and right, and left again. |] At last {he} came to {place}.
    The dog put down the {thing} and [wagged {his} tail|sat down]. "[My {thing}|That is mine]!" said {owner}.
    "[I have looked for it all day|I thought that it was gone for ever].
    [What a clever dog you are!|How did you find me?]" [The dog only barked.|The dog wagged {his} whole body.|]

    {Owner} gave {him} [a sausage|a bowl of meat|some warm milk] and [scratched {his} ears|dried {his} wet fur].
    "[Where do you live|Who is waiting for you]?" {owner.he} asked.
    The dog [looked at the ground|put {his} head on {owner}'s foot]. [Then {owner} understood.|That was an answer.|]
    "[Then stay with me|You can stay with me]," {owner.he} said.
    [The dog did. And now {he} has a home and a name.
    |So the dog brought back a {thing} and found a home.
    |That night the small dog slept by a warm stove, and {he} smelled of {smell}, too.]
    """,
)

RABBIT = Plot(
    name="the hungry rabbit",
    cast={"hero": unnamed("rabbit"), "farmer": unnamed("farmer"), "friend": unnamed("mole", "mouse", "hedgehog")},
    tables={
        "food": ["carrots", "turnips", "cabbages", "peas", "beans"],
        "season": [
            "It had not rained for weeks, and the grass was dry and yellow",
            "The snow lay deep on the meadow",
            "The sheep had eaten all the grass",
            "There had been a flood, and the meadow was full of mud",
        ],
        "harm work": [
            (
                "snails are eating the leaves",
                "{He} knew where snails hide by day, and {he} showed {friend}, who ate them all",
            ),
            (
                "the wind has blown a gap in the fence, and the goats come in",
                "{He} saw the goats first and drummed on the ground until {farmer} came",
            ),
            (
                "weeds are growing everywhere",
                "{He} ate the weeds, row by row, and did not touch one leaf of the {food}",
            ),
            ("the crows pick up all my seeds", "{He} jumped up behind each crow, and off it flew"),
        ],
    },
    text="""
    The [little |]rabbit was very hungry. {season}.
    [There was nothing left to eat.|{He} had only had a bit of bark for breakfast.|]
    On the other side of the fence there was a garden, and in the garden there were {food}.
    [They smelled so good!|{He} could smell them.|] "[Dig a hole|Go under the fence]," said the {friend.kind}.
    "[I can show you how|Nobody will see you]." [The rabbit began to dig.|The rabbit put one paw under the fence.]
    Then {he} [stopped|thought of the farmer].
    "[The farmer grew them|The farmer worked for them all spring]," {he} said. ["If I take them, I am a thief."|]

    [So {he} sat by the gate and waited.|{He} hopped to the gate instead.] {farmer} came [with a bucket|in big boots].
    [The rabbit [shook|wanted to run], but {he} stayed.|] "Please," {he} said, "may I have some {food}?"
    {Farmer} [looked down|was {surprised}]. "[Nobody has ever asked me|Rabbits never ask]," {farmer.he} said.
    "[I have a problem of my own|But I have troubles, too]: {harm}.[ If you help me, I will help you.|]"
    [The rabbit's ears went up.|] "I can help," {he} said. {work}.
    [It took three days.|By evening it was done.|{Farmer} could not believe it.]

    "[A promise is a promise|Thank you]," said {farmer}, and [gave the rabbit a basket of {food}|put a big pile of
    {food} in front of {him}].
    [The rabbit gave some to the {friend.kind} and ate until {his} tummy was round.
    |The rabbit shared it with the {friend.kind}, and it tasted better than anything.]
    [There is a little door in that fence now. It has the size of a rabbit.
    |"It would have been faster to dig," said the {friend.kind}. "Yes," said the rabbit, "but only once."
    |After that, the rabbit came each morning, through the gate and not under the fence.]
    """,
)

DUCKLING = Plot(
    name="the duckling who went too far",
    cast={
        "hero": animals("duckling"),
        "helper": unnamed("frog", "turtle", "heron", "otter"),
        "mother": unnamed("duck", genders=("female",)),
    },
    tables={
        "lure": ["a blue butterfly", "a yellow leaf", "a shiny bug", "a white feather", "a tiny fish"],
        "rule hint": [
            (
                "Stay where you can hear me",
                '"What did your mother tell you?" "To stay where I can hear her." "Then don\'t swim," said '
                '{helper}. "Listen."',
            ),
            (
                "If you are lost, stay where you are and call",
                '"What did your mother tell you?" "To stay and call." "Then why do you swim around?" asked '
                '{helper}. "Call!"',
            ),
        ],
        "where": [
            "among the tall reeds",
            "behind the old bridge",
            "in a part of the pond that {he} did not know",
            "in the dark end of the pond",
        ],
        "fear": ["Something rustled", "A shadow moved in the water", "A dog barked far away", "It began to get dark"],
    },
    text="""
    [A duck had five ducklings.
    |A duck lived on a pond with her seven ducklings.
    |{mother} swam across the pond with all her ducklings in a row.]
    The smallest was called {hero}.
    [{He} was always the last in the row. |{He} was small and yellow and wanted to see everything. |{He} looked at
    everything twice. |] "{rule}," [their mother said each morning|the duck told them every day].
    [{hero} nodded, but {he} was looking at a fly.|]

    [One day|One morning], {hero} saw {lure}. [How pretty it was!|{He} had to have it.|]
    {He} swam after it and [did not look back|forgot everything else]. Then it was gone. {hero} looked around.
    {He} was {where}, and {he} was alone. [{fear}.|] {hero} was {scared}.
    [{He} swam this way, and {he} swam that way[, but everything looked the same|].|]
    "[Why do you splash so much|What is all this splashing]?" asked {helper}[, who had been asleep|].
    "I am lost," said {hero}[, and a tear fell into the pond|]. {hint}

    {hero} sat still [and listened|on the water].
    [First there was only the wind.|At first {he} heard only {his} own heart.|] "Peep!" {he} called.
    "[Peep, peep|Here I am]!" And from far away came an answer: "Quack! Quack!" {hero} knew that voice.
    Then the reeds opened, and there was {mother} with all the others behind her.
    [She put her wing around {hero}.|She looked at {hero} for a long time.|]
    ["Thank you," said {hero} to {helper}. "You did it yourself," said {helper}, and went back to sleep.|]

    On the way home, {hero} swam right behind {his} mother.
    [{lure} came by, but {he} only looked at it.
    |{He} was the first in the row now.
    |"{rule}," {he} said to {himself}, all the way.]
    """,
)

BEAR = Plot(
    name="the bear who could not sleep",
    cast={"hero": animals("bear"), "a": unnamed("owl", "badger"), "b": unnamed("mouse", "rabbit")},
    tables={
        "problem try_a try_b fix": [
            (
                "{his} feet were cold",
                '"Count the stars," said {a}. {hero} counted to one hundred, and {his} feet were still cold',
                '"Drink warm milk," said {b}. {hero} drank it, but {his} feet stayed cold',
                "So ten mice came in from the snow and lay down on {his} feet. They were as warm as a blanket",
            ),
            (
                "the wind blew into the cave",
                '"Put a stone in front," said {a}. But the stone was too heavy',
                '"Put leaves in front," said {b}. But the wind took the leaves away',
                "So they rolled a big snowball to the door, and then the wind stayed outside. It was as "
                "quiet as under a pillow",
            ),
            (
                "it was too quiet",
                '"Sing yourself a song," said {a}. But {he} had to stay awake to sing it',
                '"Listen to the snow," said {b}. But the snow makes no sound',
                "So {b} sat down by {his} ear and told {him} what the forest does in winter. {hero} heard "
                "the first part only",
            ),
            (
                "{he} was still hungry",
                '"Eat some snow," said {a}. But snow does not fill a bear',
                '"Think of something else," said {b}. But {he} could only think of honey',
                "So they all brought something: two nuts, five dry berries, and the last bit of honey. "
                "{hero} ate it slowly and licked {his} paws",
            ),
        ],
        "bed": ["dry leaves", "soft moss", "old grass"],
    },
    text="""
    [The first snow fell.|Winter had come to the forest.|It was the end of autumn.]
    [All the bears were asleep, but not {hero}.|It was time for bears to sleep. But {hero} the bear was awake.]
    {He} lay in {his} cave on {bed}, [turned to the left, and turned to the right|and turned around and around].
    {He} could not sleep because {problem}.
    [{He} sighed so loud that the snow fell from the trees.|"I am so tired," {he} said, "but sleep does not come."|]

    [{A} heard {him}.|{A} came to see who was sighing.] {try_a}. [{He} turned around again.|{hero} sighed even louder.|]
    [Then {b} came.|Next came {b}.] {try_b}.
    "[It is no use|I will be awake until spring]," said {hero}, and [{he} was {sad}|a big tear ran down {his} nose].

    [{A} and {b} looked at each other.|{A} and {b} put their heads together.|]
    "[We can't leave {him} like this|{He} helped us in the summer]," said {a}.
    "{He} gave us berries [and {his} back to ride on|and kept the wolf away]."
    "[I know something|Let's try one more thing]," said {b}. {fix}.
    [{hero} closed one eye. Then {he} closed the other.|{hero} yawned, and it was a yawn as big as a door.|]
    "Good night," {he} said, [but nobody heard the end of it|and was asleep before the last word].

    [{A} and {b} walked home on their toes.|Outside, the snow fell and fell.|]
    [When {he} woke up, there were flowers in front of the cave.
    |In spring {he} got up, thin and happy, and picked the first flowers for {his} friends.
    |And the whole forest was quiet until spring.]
    """,
)

KINDNESS = Plot(
    name="the small one who helped the big one",
    cast={"hero": unnamed("mouse", "ant", "bee", "wren"), "big": unnamed("bear", "horse", "deer", "wolf", "fox")},
    tables={
        "danger save": [
            ("fell into the stream", "held out a long leaf, and the {kind} climbed up on it"),
            ("was stuck in a drop of sticky sap", "licked the sap away with one lick"),
            ("was caught in a spider's web", "tore the web with one breath"),
            ("was lost in the tall grass in the rain", "bent down and made a roof with {big.his} body"),
        ],
        "trap free": [
            (
                "had stepped on a thorn and could not walk",
                "The thorn was deep in the foot, where no tooth could reach. But the {kind} was small enough. "
                "{He} crawled in, pulled and pulled, and out came the thorn",
            ),
            (
                "had got a rope around the leg, and the rope was tied to a tree",
                "The {kind} looked at the knot. {He} crept into the middle of it and pulled out one loop, "
                "and then another, until the rope fell off",
            ),
            (
                "had got {big.his} head stuck in a hole in the fence",
                'The {kind} ran along the fence and found the one rotten board. "Push here!" {he} called. '
                "The board broke, and the head was free",
            ),
            (
                "was lost in the fog, right at the edge of a cliff",
                '{He} went ahead and called out. "Not there, you will fall! Follow my voice." And so {he} '
                "led the way, step by step, back to the path",
            ),
        ],
        "laugh": ["You? You are as small as a crumb!", "What could you ever do for me?", "I am much too big for that!"],
    },
    text="""
    [One summer day, a little {kind} {danger}.
    |A little {kind} {danger} one day.
    |Once upon a time, a little {kind} {danger}.]
    "[Help|Please help me]!" {he} called[, but {his} voice was so thin that nobody heard it|].
    A {big.kind} was [going by|on {big.his} way home] and [stopped|heard it]. {Big} {save}.
    "[One day I will help you, too|I will not forget it]," said the {kind}. {Big} laughed. "{laugh}" {big.he} said.
    [But {big.he} said it kindly, and went away.|Then {big.he} went on.]

    [Weeks went by.|The summer went by, and the leaves turned yellow.|]
    Then [one morning|one evening], the {kind} heard a [terrible|loud] cry. {He} [went|hurried] to see.
    It was the {big.kind}, who {trap}. [{Big.he} could not help {big.himself}.|]
    "[Go away|You can't help me], little one," said {big}. "[You are too small|It would take someone strong]."
    "[Small is what you need|Wait and see]," said the {kind}. {free}.

    [{Big} [stood up|shook {big.himself}] and was quiet [for a long time|at first].|]
    "[I laughed at you|I said that you could do nothing for me]," said {big}. "[I was wrong|I am sorry]."
    "[You stopped for me|You helped me first]," said the {kind}. "[That was the big thing|That is all that counts]."
    [After that, the two were often seen together. The little one rode on the big one's back.
    |From that day on, the {big.kind} walked more carefully and listened for thin voices.
    |And {big} never called anyone too small again.
    |{together}]
    """,
)

FIRST_FLIGHT = Plot(
    name="the owl who would not fly",
    cast={
        "hero": animals("owl"),
        "parent": unnamed("mother", genders=("female",)) + unnamed("father", genders=("male",)),
        "friend": unnamed("bat", "moth", "squirrel"),
    },
    tables={
        "excuse": [
            "The wind is too strong",
            "My wings are too short",
            "It is too dark",
            "I have to eat first",
            "I am still asleep",
        ],
        "event act": [
            (
                "the nest began to shake. The old branch was breaking",
                "There was no time to think. {He} opened {his} wings and jumped",
            ),
            (
                "{friend} fell from the branch above, with a hurt wing",
                "{hero} did not think. {He} dropped from the nest, caught {friend} in the air, and only "
                "then felt that {he} was flying",
            ),
            (
                "the moon came out from behind a cloud, so big and yellow that {he} wanted to see it from close by",
                "{He} leaned out, and a bit more, and a bit more, and then the air was holding {him}",
            ),
            (
                "the smallest owl slipped and hung from the nest by one claw",
                "{hero} flew under the little one and pushed it up with {his} back. Yes, {he} flew",
            ),
        ],
        "height": [
            "The ground looked as far away as the moon",
            "The trees looked like grass",
            "{His} legs turned soft when {he} looked down",
        ],
    },
    text="""
    [In a tall tree, there lived a young owl named {hero}.|{once} {He} lived in a nest at the top of a tall tree.]
    [All the other young owls could fly.|{His} brothers had learned to fly in one night.|]
    But {hero} [stayed in the nest|held on to the nest with all {his} claws]. {height}.
    "[Come|Try it], {hero}," {parent} said each night. "[The air will hold you|Just open your wings]."
    "{excuse}," said {hero}. [The next night {he} said, "[Tomorrow|I will do it tomorrow]."|]
    [{Parent} never pushed {him}. {Parent.he} only waited.|And so it went on for a week.|]

    [At night {friend} sat down beside {him}.|{He} had one friend, and that was {friend}.]
    "[What is it like|Is it hard]?" asked {hero}.
    "[It is like swimming in nothing|You don't do it. It happens]," said {friend}.
    [{hero} thought about that for a long time.|{hero} moved {his} wings a little, when nobody was looking.|]

    Then one [windy|warm|clear] night, {event}. {act}.
    [{He} beat {his} wings once, twice, three times.|It was not pretty, but it was flying.|]
    [The wind carried {him}.|The air held {him}, just as {parent} had said.|] "[I am flying|Look at me]!"
    {he} [called|cried] [over the whole forest|to the moon].
    [{He} flew around the tree|{He} flew in a big ring] and landed [in the nest, beak first|on a branch and almost fell
    off it].
    {Parent} [laughed|blinked]. "[And was the wind too strong|Well, how was it]?" {parent.he} asked.
    "[Again|I want to do it again]!" said {hero}.
    [From then on, nobody could keep {him} in the nest.
    |That night {hero} saw the whole forest, and it was {big} and silver.
    |{He} was still a bit {scared}, but now {he} flew anyway.]
    """,
)

FROG = Plot(
    name="the frog with the loud voice",
    cast={
        "hero": animals("frog"),
        "a": unnamed("heron", "duck", "turtle"),
        "b": unnamed("fish", "beetle", "snail", "newt"),
    },
    tables={
        "danger act": [
            (
                "a fox was creeping through the reeds to the sleeping ducks",
                "The ducks woke up and were on the water before the fox could jump",
            ),
            (
                "the water was rising. The stream had become a river",
                "Everybody climbed up to the bank before the water took their homes away",
            ),
            (
                "smoke was coming from the dry grass. There was a fire",
                "They all jumped into the pond, and the farmer heard the noise, too, and put out the fire",
            ),
            (
                "a big pike was swimming to the place where the little fish slept",
                "The little fish woke up and hid in the weeds, where the pike could not follow",
            ),
        ],
        "sound": ["Croak, croak", "Ribbit, ribbit", "Quark, quark"],
        "wrong": ["You sound like an old door", "My ears hurt", "I can't sleep", "You scare the flies away"],
    },
    text="""
    [{hero} the frog had the loudest voice in the pond.
    |{once} {He} had a very loud voice.
    |There was a pond in the meadow, and in the pond there lived a frog named {hero}.]
    [Every evening {he} sat on a leaf and sang.|{He} loved to sing when the moon came up.|] "{sound}!" {he} sang.
    [{He} thought that it was beautiful.|] But the others did not. "{wrong}," said {a}.
    "[Please be quiet|You must sing more softly]," said {b}.
    [{hero} tried to sing softly, but {his} voice was made for loud.|Nobody wanted to sit near {hero}.|]
    So {he} closed {his} mouth and did not sing [any more|again].
    [{He} sat under a leaf and was {sad}.|The pond was quiet, and {hero} felt small.|]

    [Then came a night without a moon.|One night everybody slept.|Some nights later, {hero} could not sleep.]
    {hero} was the only one awake, and {he} saw that {danger}. "[Wake up|Look out]!" called {b}, who saw it now, too.
    But {b.his} voice was too soft, and nobody heard it.
    [{hero} [took a deep breath|made {himself} as round as a ball].|] "{sound}!" {he} sang, as loud as {he} could.
    [It rang over the water and over the meadow.|It was so loud that the leaves shook.|] {act}.

    [In the morning|When the sun rose], they all came to {hero}'s leaf.
    "[It was your voice that saved us|Without your voice, it would have ended badly]," said {a}.
    "[I am sorry for what I said|Please sing again]."
    [{hero} turned a darker green, because {he} was shy.|{hero} did not know where to look.|]
    [From then on, {he} sang every evening. Well, they put a bit of moss in their ears.
    |And that evening, when the moon came up, the whole pond asked for a song.
    |A loud voice is a good thing when it has something to say.]
    """,
)

PLOTS = (SQUIRREL, SMALL_DOG, RABBIT, DUCKLING, BEAR, KINDNESS, FIRST_FLIGHT, FROG)
