"""Plots at home: in the bedroom, in the kitchen, on a rainy day."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import CATS, CHILDREN, COLORS, DOGS, FAMILY, PARENTS

LOST_TOY = Plot(
    name="lost toy",
    cast={"hero": CHILDREN, "parent": FAMILY},
    tables={
        "toy did where": [
            ("teddy bear", "had a tea party under the table", "under the table, next to a little cup"),
            ("toy car", "made a long road on the rug", "under the rug, right where the road ended"),
            ("cloth rabbit", "read a story in the big chair", "behind the pillow of the big chair"),
            ("toy boat", "took a bath", "at the bottom of the tub"),
            ("ball", "played with the dog", "in the dog's bed"),
            ("wooden horse", "built a farm out of blocks", "behind the farm, where the blocks were high"),
            ("doll", "helped to hang up the wash", "in the basket, under a wet towel"),
            ("toy train", "played station in the hall", "in the hall, inside a big boot"),
        ],
        "color": COLORS,
        "first": ["under the bed", "in the toy box", "behind the door", "on the shelf", "in the closet"],
        "second": ["in the kitchen", "on the stairs", "behind the curtain", "next to the sofa", "in the yard"],
        "only": ["an old sock", "some dust", "a lost button", "one blue shoe", "a spoon"],
    },
    text="""
    [{once} {He} had a {color} {toy} that {he} loved [very much|best of all|more than all {his} other toys].
    |{hero}'s favorite toy was a {color} {toy}. {He} took it [everywhere|to bed every night|along wherever {he} went].
    |There was once a {kind} named {hero} who had a {color} {toy}.]
    [It was a present from {his} [uncle|aunt], and {he} had given it a name.|It was old, but {he} did not mind.|]

    {One_day}, {he} could not find [it|the {toy}] [anywhere|].
    {He} looked {first}, but [it was not there|{he} found only {only}].
    {He} looked {second}, [but there was no {toy}|but it was not there either|and still {he} did not see it].
    [{hero} felt {sad} and began to cry.|A big tear ran down {his} face.|{He} sat down on the floor, {worried}.]

    "What is [wrong|the matter], {hero}?" asked {parent}. "My {toy} is [lost|gone][, {parent.call}|]!" {he} said.
    ["I have looked everywhere."|"I want it back!"|] {Parent} [sat down beside {him}|gave {him} a hug|took {his} hand].
    "[Let's think|Close your eyes and think|Don't cry. Think]," {parent.he} said.
    "[What did you do with it last|When did you have it last|Where did you play with it]?"

    {hero} [thought hard|closed {his} eyes|thought and thought].
    "[This morning|After breakfast|Yesterday] I {did}," {he} said [slowly|].
    Then {he} [jumped up|opened {his} eyes wide] and ran to look. There was the {toy}, {where}!
    ["I found it!" {he} [cried|shouted].|"There you are!" {he} said, and {he} gave it a kiss.|"{hooray}!" cried {hero}.]

    [{Parent} smiled. "When you lose a thing, go back in your mind," {parent.he} said. "It will be where you left it."
    |From then on, {hero} put the {toy} on {his} bed [when|each time] {he} was done, so {he} always knew where it was.
    |{He} [hugged {parent}|thanked {parent}] and held the {toy} [tight|in {his} arms] all evening. {slept}
    |The next time something was lost, {hero} did not cry. {He} sat down, closed {his} eyes, and thought.]
    """,
)

NIGHT_NOISE = Plot(
    name="noise in the night",
    cast={"hero": CHILDREN, "parent": PARENTS},
    tables={
        "noise said cause fix": [
            (
                "[tap, tap, tap|tap, tap]",
                "tapping",
                "a branch of the apple tree. The wind pushed it, and it tapped on the glass",
                "In the morning, they cut the branch, and the window was quiet.",
            ),
            (
                "scratch, scratch",
                "scratching",
                "the cat. It was outside in the cold and wanted to come in",
                "They opened the window, and the cat jumped right into the warm bed.",
            ),
            (
                "drip, drip, drip",
                "dripping",
                "the tap in the bathroom. It was not closed well, and the water dripped into the sink",
                "{hero} turned the tap with both hands, and the dripping stopped.",
            ),
            (
                "bump, bump",
                "bumping",
                "the garden door. Somebody had left it open, and the wind moved it",
                "{hero} pushed the door shut, and all was still.",
            ),
            (
                "whoo, whoo",
                "calling",
                "an owl in the old tree. It had big round eyes and called to its friend",
                "They listened until the other owl answered from the woods.",
            ),
            (
                "crunch, crunch",
                "crunching",
                "a hedgehog on the path. It was eating a fallen apple",
                "They put out a little bowl of water for it and went back inside.",
            ),
        ],
        "monster": ["a monster", "a ghost", "a bear", "a thief", "a dragon"],
        "light": ["a flashlight", "a small lamp", "a lantern"],
    },
    text="""
    [{once} {He} [liked the day, but {he} did not like|was brave by day, but not in] the dark.
    |It was [late|a dark night|a windy night], and {hero} was in bed. {He} was a [little|small] {kind}, and {he} did not
    like the dark.]

    [One night|Late that night|Just as {he} closed {his} eyes|When the house was quiet], {he} heard [a noise|a strange
    noise|something].
    "{Noise}," it went. {hero} [pulled the blanket over {his} head|sat up in bed|held {his} pillow tight].
    {He} was {scared}. "[Maybe it is|I think it is|It must be] {monster}!" {he} [thought|whispered].
    [{He} waited, but the {said} did not stop.|The {said} went on and on.|Then it came again, a little louder.|]

    At last {he} [called|ran to] {parent}.
    "[{parent.call}, there|There|I think there] is {monster} [at the window|in the dark|out there]!" {he} said.
    {Parent} did not laugh. {Parent.he} took {light} and [gave it to {hero}|put it in {his} hand].
    "[Let's go and see|Let's find out together|When you are scared of something, look at it]," {parent.he} said.
    "[I will be right behind you|I will hold your hand]."

    They walked [slowly|on their toes|very quietly] [to where the noise was|through the dark house].
    {hero}'s heart [beat fast|went boom, boom]. {He} [held up the light|lifted the light] and looked.
    It was not {monster} [at all|]. It was {cause}!
    {hero} [laughed out loud|began to laugh|laughed so hard that {he} had to sit down].
    ["That is all?" {he} said.|"I was scared of that!" {he} said.|] {fix}

    [{hero} went back to bed. The dark was still dark, but now {he} knew what was in it.
    |After that night, {he} was not so {scared}. When {he} heard a noise, {he} took the light and went to look.
    |"You were [brave|very brave]," said {parent}. "You were scared, and you looked anyway." {hero} was {proud}.
    |Then {hero} lay down again, and this time the {said} in {his} dreams was only a funny song.]
    """,
)

BROKEN_VASE = Plot(
    name="the thing that broke",
    cast={"hero": CHILDREN, "friend": CHILDREN, "parent": FAMILY},
    tables={
        "thing whose mend": [
            ("vase", "It had stood there for years, full of flowers.", "They glued it piece by piece"),
            ("lamp", "It gave a soft yellow light in the evening.", "They bought new glass for it and put it in"),
            (
                "clock",
                "It had ticked there since before {hero} was born.",
                "They put the little wheels back one by one",
            ),
            ("teapot", "It was only used on birthdays.", "They glued the handle back on"),
            ("picture", "It showed a ship on the sea.", "They made a new frame out of wood"),
            ("bowl", "It was blue and came from a land far away.", "They glued it and painted over the lines"),
        ],
        "game": [
            "throwing a ball",
            "playing catch",
            "flying a paper plane",
            "jumping on the sofa",
            "chasing each other",
        ],
        "hide": [
            "put the pieces under the rug",
            "hide it in the closet",
            "say that the cat did it",
            "say that the wind did it",
        ],
        "job": ["water the plants", "wash the cups", "sweep the floor", "feed the hens", "set the table"],
    },
    text="""
    [{hero} and {friend} were playing in the living room [because it was cold outside|because it was raining|one
    afternoon]. They were {game}. "[Not inside the house|Please be careful]," {parent} had said [in the morning|many
    times], but they forgot.
    |{once} [One day|One rainy day], {hero} and {his} friend {friend} were {game} in the living room. They knew that it
    was not allowed[, but it was such fun|].]

    Then there was a [loud|terrible] crash!
    The {thing} [fell|had fallen] from the [table|shelf] and [broke|lay in pieces] on the floor.
    [{whose}|] [{hero} felt cold inside.|{hero} could not move.|{hero} put {his} hand over {his} mouth.|]
    "[Oh no|Oh dear]!" said {friend}. "[What do we do now|What will we do]? [We could|Let's] {hide}."

    {hero} [thought about it|looked at the pieces].
    [It would be easy, but it would be a lie.|{He} knew that it would not be right.|A lie would make everything worse.|]
    "No," {he} said. "I will [tell the truth|say what happened]."
    [{friend} was afraid, but stayed beside {him}.|"Then I will come with you," said {friend}.|]

    [{Parent} came in.|They went to find {parent}.] {hero} [looked at {his} feet|took a deep breath|swallowed hard].
    "I broke the {thing}," {he} said. "We were {game}, and I am sorry." {Parent} was quiet for a [long time|moment].
    "[I am sad about the {thing}|I loved that {thing}]," {parent.he} said, "but I am [glad|happy] that you told me
    [yourself|the truth].
    [Let's see what we can do|Now let's mend it]."

    {mend}[, and it took [the whole evening|a long time|until dinner]|].
    [It was not as good as new, but it was whole again.|You could still see where it had been broken.|]
    [To make up for it, {hero} [said that {he} would|promised to] {job} [every day|for a week], and {he} did.
    |Whenever {hero} looked at the {thing} after that, {he} remembered that the truth is not so hard to say.
    |After that, they played their wild games in the yard, where only the grass could get hurt.
    |"[Next time|From now on] we play outside," said {friend}, and they all laughed.]
    """,
)

SALTY_CAKE = Plot(
    name="sugar and salt",
    cast={"hero": CHILDREN, "sib": CHILDREN, "parent": FAMILY},
    tables={
        "bake a_bake shape": [
            ("cake", "a cake", "round"),
            ("pie", "a pie", "golden"),
            ("bread", "bread", "brown"),
            ("cookies", "cookies", "warm"),
            ("pancakes", "pancakes", "round and flat"),
            ("muffins", "muffins", "small and golden"),
        ],
        "why": [
            "It was {parent}'s birthday",
            "Friends were coming to visit",
            "It was raining, and there was nothing to do",
            "There was a party at school the next day",
            "{Parent} was sick and needed something good",
        ],
        "extra": ["apples", "nuts", "berries", "bananas", "pieces of chocolate"],
        "label": ["a picture of a bee", "a big letter S", "a red ribbon", "a paper star"],
    },
    text="""
    {why}, so {hero} and {sib} [wanted|decided] to bake {a_bake}.
    [They put on [big|white] aprons and washed their hands.|]
    [{hero} broke the eggs, and {sib} [mixed|stirred]. |{sib} read the [book|page] aloud, and {hero} did what it said.
    |They got [flour everywhere|flour on their noses]. |] Last of all, {hero} took a [white|] jar from the shelf and
    poured in [a whole cup|a big cup].
    "[Now it will be sweet|Sugar makes it sweet]!" {he} said. [They [added|dropped in] some {extra}, too.|]

    The {bake} came out of the oven {shape}[, and the kitchen smelled wonderful|].
    [They could not wait.|They sat down at the table.|] {sib} took [a big bite|the first bite].
    Then {sib.his} face [changed|turned red|went funny], and {sib.he} ran for [water|a glass of water]. "[Yuck|Ugh]!
    It is full of salt!" {sib.he} [cried|said]. [{hero} tried [a bit|a crumb], and it was true.|]
    [The two jars [looked the same|were both white].|The salt and the sugar lived in two jars that looked the same.|]

    {hero} wanted to [cry|throw it all away]. "I [ruined|spoiled] it," {he} said.
    [{Parent} heard them, came in,|Then {parent} came to see what the noise was,|{Parent}] tasted it, too, and [made a
    funny face|coughed].
    ["I did that once," {parent.he} said.|"Even good cooks do that," {parent.he} said.|]
    "[We have flour and eggs for one more try|There is time to try again].
    But first, [how can we tell the jars apart|what will help you next time]?"

    {hero} had an idea. {He} got [some paper|{his} crayons] and [put|stuck] {label} on the sugar jar.
    [Now nobody could [mix them up|make that mistake].|]
    Then they baked again, and [{hero} tasted the sugar first|this time {hero} tasted everything first].
    [The new {bake} tasted so good that [nothing was left|they ate every bit].
    |The second try was [sweet and soft|just right].]

    [The birds in the yard got the salty one, but even they did not want it.
    |"To the jar!" said {parent}, and they all lifted their cups of milk.
    |{hero} was {proud}. "We learned more from the bad one than from the good one," {he} said.
    |{Label} is on that jar to this day, and {hero} smiles each time {he} sees it.]
    """,
)

MESSY_ROOM = Plot(
    name="the messy room",
    cast={"hero": CHILDREN, "friend": CHILDREN, "parent": PARENTS},
    tables={
        "thing event": [
            ("swim suit", "the swimming pool"),
            ("train ticket", "the zoo"),
            ("left shoe", "the fair"),
            ("violin", "the concert"),
            ("costume", "the school play"),
            ("library card", "the library"),
            ("soccer shirt", "the big game"),
        ],
        "mess": [
            "There were socks on the lamp and blocks in the bed",
            "There were books on the floor and cups on the books",
            "Toys lay everywhere, even under the pillow",
            "Nobody could see the floor",
        ],
        "lost": [
            "the kite {he} had missed since spring",
            "{his} grandpa's old coin",
            "two library books and a spoon",
            "a puzzle piece that everybody had looked for",
            "a birthday card with money in it",
        ],
    },
    text="""
    [{once} {He} never [cleaned|tidied] {his} room.|{hero} had the messiest room [in the street|in town].] {mess}.
    "[Please clean your room|Put your things away], {hero}," {parent} [always said|said every day].
    "[Later|Tomorrow]," said {hero}[, and went out to play|].

    [One morning|One Saturday|Then one day], {friend} rang the bell. "[Are you ready?|Come on!]" {friend.he} called.
    "[It is time for|We are going to] {event}!" {hero} [jumped up|was {excited}]. But where was {his} {thing}?
    [{He} could not go without it.|]
    [{He} threw [the blankets|the pillows|some clothes] [aside|to the left and to the right].|]
    {He} [looked under the bed|crawled under the desk], [but there was too much in the way|but everything fell on {his}
    head].
    "[I can't find it|It is lost]!" {he} [cried|said].

    {friend} looked at the room [and shook {friend.his} head|for a moment].
    "[We will never find it like this|It could be anywhere]," {friend.he} said. "[Let's clean up|We must tidy up first].
    [ I will take the books, and you take the toys.| You do that side, and I do this side.|]"
    [So they [worked|hurried].|They worked as fast as they could.|]
    The books went on the shelf, the toys went into the box, and the clothes went [into the closet|to the wash].
    [On the way|Under a pile of clothes], {hero} found {lost}.
    [And behind the desk|And at the very bottom], {he} found {his} {thing}!

    [They ran all the way and [got to {event} just in time|were only a little late].
    |"Quick!" said {friend}, and they ran. They were [just in time|the last ones in].]
    [When {hero} came home, {he} opened the door and was {surprised}. {He} had forgotten how [big|nice] {his} room was.
    |After that, {hero} put one thing away each time {he} took one out. It was much faster than looking.
    |"What happened here?" asked {parent} that evening. "[I found my floor|I was looking for something]," said {hero},
    and {parent} laughed.
    |{hero} thanked {friend} for the help, and the next day {he} helped {friend} with {friend.his} room, too.]
    """,
)

RAINY_DAY = Plot(
    name="the rainy day",
    cast={"hero": CHILDREN, "sib": CHILDREN, "parent": FAMILY, "pet": CATS + DOGS},
    tables={
        "build made trouble solve": [
            (
                "a ship",
                "They turned the table over, and a broom became the mast",
                "But a ship needs a sail, and they had none",
                "{Parent} gave them the old sheet with the juice spots on it",
            ),
            (
                "a castle",
                "They put all the chairs in a ring and hung blankets over them",
                "But the roof kept falling down",
                "Then {hero} held the blankets with clips from the washing line, and the roof stayed up",
            ),
            (
                "a train",
                "They put the chairs in a long row, one behind the other",
                "But nobody was on the train, and it was a bit lonely",
                "So they gave every bear and doll a paper ticket and a seat",
            ),
            (
                "a shop",
                "They set up boxes and put cans and jars on top",
                "But nobody had any money",
                "Then {hero} opened the button box, and each button was a coin",
            ),
            (
                "a tent",
                "They hung a sheet over a rope between two doors",
                "But it was very dark inside",
                "Then {hero} remembered the string of small lights from winter, and the tent glowed",
            ),
            (
                "a cave",
                "They pushed the sofa to the wall and put pillows in front",
                "But a cave needs a bear",
                "Then {pet} walked in, turned around twice, and lay down like a real bear",
            ),
        ],
        "plan": ["go to the park", "have a picnic", "go to the beach", "ride bikes", "fly a kite"],
        "food": ["cheese and apples", "warm milk and cookies", "bread and jam", "nuts and raisins", "soup in cups"],
    },
    text="""
    [It rained and rained.|Rain ran down the window.|"Look at that rain," said {hero}.]
    {hero} and {sib} had wanted to {plan}, but now they had to stay inside.
    [{hero} put {his} nose on the cold glass.
    |{sib} kicked at the rug.
    |"This is the worst day [ever|of all]," said {sib}.
    |] [There was nothing to do.
    |They were bored and cross.
    |Even {pet} the {pet.kind} [looked sad|was bored].
    |]

    Then {hero} [looked around|saw the big table|had an idea]. "Let's build {build}," {he} said.
    ["[Here? In the living room|Will it be big enough for two]?" asked {sib}. "Of course!" said {hero}.|] {made}.
    [It took a long time, but it was fun. |They worked hard and forgot about the rain. |{pet} watched them and {pet.his}
    tail went up. |] {trouble}.
    "[What now|What can we do]?" {sib} asked. {solve}. "{hooray}!" they [shouted|cried].
    [It was the best thing they had ever built.|Now it was perfect.|]

    [Outside it got dark|The rain beat on the roof], but [in|inside] their new place it was [warm|dry and warm].
    {Parent} brought {food}[, and they ate it there|].
    [They told each other stories.
    |They sang [loud|silly] songs.
    |They went all around the world without leaving the house.
    |]

    [{Soon} the rain stopped|At last the sun came out].
    "[You can go outside now|You could still {plan}]," said {parent}.
    [{hero} and {sib} looked at each other.|{hero} thought about it.|] "[Can we do it tomorrow|Maybe tomorrow]?"
    {hero} [said|asked]. "[We are busy|We are not done here]."
    [{Parent} laughed and closed the door softly.|So {parent} sat down with them and played too.]
    ["I hope it rains again," said {sib}.
    |The rain had not spoiled the day. It had made it.
    |And {pet} slept there all night long.]
    """,
)

LOOSE_TOOTH = Plot(
    name="the loose tooth",
    cast={"hero": CHILDREN, "sib": CHILDREN, "parent": FAMILY},
    tables={
        "how": [
            "{He} bit into an apple. Crunch! When {he} looked at the apple, there was the tooth",
            "{He} laughed so hard at a joke that the tooth flew out and landed in {his} soup",
            "{sib} threw {him} a pillow, {he} caught it with {his} face, and the tooth fell out",
            "{He} blew up a balloon for the party, and pop! Out came the tooth",
            "{He} bit into a hard piece of bread, and there it was, small and white",
            "{He} sang the highest note of the song, and the tooth jumped out",
        ],
        "fear": [
            "it would hurt",
            "there would be a lot of blood",
            "{he} could never eat apples again",
            "{he} would look funny",
        ],
        "gift": ["a shiny coin", "a silver star", "a new toothbrush", "a small book", "two coins"],
    },
    text="""
    [{hero} had a loose tooth.|One morning, {hero} felt something strange in {his} mouth. A tooth was loose.]
    It [moved to the left and to the right|wiggled when {he} talked|wiggled each time {he} ate].
    [All {his} friends had lost a tooth already.|It was {his} first one.|] But {hero} was {worried}.
    {He} thought that {fear}.

    "[Let me pull it|I can pull it out]," said {his} [big brother|big sister] [with a grin|at once]. "No!"
    cried {hero}[, and put both hands over {his} mouth|].
    [{He} would only eat [soup|soft bread].|{He} ate on one side only.|]
    [{He} did not even want to brush {his} teeth.|At night, {he} lay awake and felt it with {his} tongue.|]

    ["Are you scared?" asked {parent}. {hero} nodded.
    |"What are you afraid of?" asked {parent}. {hero} told {parent.him} everything.]
    {Parent} [sat down on the bed|smiled]. "When I was [little|as small as you], I was scared too," {parent.he} said.
    "[A new tooth is under there, and it pushes|It falls out because a new tooth needs the place].
    [It will come out when it is ready|You don't have to do anything]."
    [{hero} felt a little better.|That made {hero} feel better.|]

    [Two days later|The next day|That weekend], {hero} [was playing|was at home] with {sib} and [did not think about it
    at all|had forgotten all about it].
    {how}! [It did not hurt [at all|one bit].|{hero} waited for the pain, but there was none.|] "[Look, look|I did it]!"
    {he} shouted. "[And that was all|It was so easy]!" [{sib} clapped.|{sib} wanted to see the hole.|{sib} cheered.|]

    That night, {hero} put the tooth under {his} pillow.
    In the morning, [it was gone, and there lay|in its place was] {gift}.
    [{He} ran to the mirror and smiled at the hole in {his} smile.
    |"[I have another loose one|Another one is loose]!" {he} told {parent} at breakfast, and this time {he} laughed.
    |Some weeks later, {he} felt the new tooth coming, just as {parent} had said.
    |When {sib} got a loose tooth, {hero} knew just what to say to {sib.him}.]
    """,
)

PLOTS = (LOST_TOY, NIGHT_NOISE, BROKEN_VASE, SALTY_CAKE, MESSY_ROOM, RAINY_DAY, LOOSE_TOOTH)
