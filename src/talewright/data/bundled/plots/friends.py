"""Plots among friends: sharing, quarrels, races, school."""

from __future__ import annotations

from talewright.data.bundled.grammar import Plot
from talewright.data.bundled.words import CHILDREN, COLORS, FAMILY, PARENTS, TEACHERS

BIG_BALL = Plot(
    name="the big ball",
    cast={"hero": CHILDREN, "friend": CHILDREN},
    tables={
        "color": ["red", "red", "blue", "yellow", "green"],
        "alone": [
            "throw it against a wall and catch it",
            "bounce it up and down the street",
            "kick it from one tree to the other",
        ],
        "lost how": [
            ("over the wall of a garden", "{friend.he} was small and crawled through a hole in the wall"),
            ("into the pond", "{friend.he} had a long stick and pulled it to the bank"),
            ("into a bush full of thorns", "{friend.he} had thick gloves and reached in"),
            ("down the hill", "{friend.he} ran faster than anybody and stopped it just before the road"),
            ("onto the roof of a shed", "{friend.he} could climb like a monkey and rolled it down"),
        ],
        "game": [
            "a game with two gates and no rules",
            "a game in which you had to clap before you caught it",
            "a game in which you could only use your head",
            "a game in which the ball was a hot potato",
        ],
    },
    text="""
    [A {kind} named {hero} had a big {color} ball.
    |{once} {He} had a big {color} ball.
    |{hero} had a new ball. It was big and {color}.
    |{once} {He} liked to play with {his} {color} ball.]
    [{He} took it to the park every day.|It was the best ball in the street.|]
    [{He} liked to {alone}.|All day long {he} would {alone}.|]
    "[Can I play with you|May I play, too|Will you throw it to me]?"
    asked {friend}[, who lived next door|, a {friend.kind} from the same street|]. "No," said {hero}.
    "[It is mine|It is my ball|You will make it dirty]."
    {friend} [went away|sat down on the grass|looked at the ground] and [said nothing|was {sad}].

    [Then {hero} kicked the ball too hard.|The next kick was too strong.|The wind took the ball the next time it flew.]
    It [flew|went|bounced] {lost}.
    {hero} [ran after it, but {he} could not get it|tried and tried, but {he} could not get it back].
    [{He} was near to tears.|"My ball!" {he} cried.|] "[Wait, I can get it|I will help you|Let me try]," said {friend}.
    {how}. [Then {friend.he} held the ball out to {hero}.|"Here you are," {friend.he} said.|]

    {hero} [took the ball and felt bad|felt {his} face grow hot|did not know what to say]. "Why did you help me?"
    {he} asked. ["I was not nice to you."|]
    [{friend} shrugged. "It is a good ball," {friend.he} said.
    |"Because I could," said {friend}.
    |"It was far from home," said {friend}. "It must have been scared."]
    {hero} [laughed|thought for a moment]. Then {he} threw the ball [to {friend}|back]. "Catch!" {he} [said|shouted].
    [That afternoon|Until it got dark], they made up {game}.
    [You can't play that alone.|It was [more|much more] fun than a wall.|]
    [A ball that comes back is good, but a friend who throws it back is better.
    |The next day, {hero} rang {friend}'s bell before {he} even took out the ball.
    |"It is our ball now," said {hero}.
    |{together}]
    """,
)

NEW_CHILD = Plot(
    name="the new child at school",
    cast={"hero": CHILDREN, "friend": CHILDREN, "teacher": TEACHERS},
    tables={
        "clue talk": [
            ("a book about sharks in {friend}'s bag", "Do you know that a shark never sleeps"),
            ("a tiny snail in a jar on {friend}'s desk", "Does your snail have a name"),
            ("a picture of a horse that {friend} had drawn", "Can you show me how to draw the legs"),
            ("a pin on {friend}'s coat that looked like a rocket", "Do you want to fly to the moon, too"),
            ("a box of blue marbles next to {friend}'s cup", "Will you play a round with me"),
            ("a little drum that hung from {friend}'s bag", "Can you play a song on that"),
        ],
        "from_where": ["a town by the sea", "the big city", "another land", "a farm in the hills", "an island"],
        "alone": ["by the fence", "at the end of the bench", "under the big tree", "on the steps"],
        "do": ["trade cards", "run races", "jump rope", "play tag", "climb the bars"],
    },
    text="""
    [There was a new {friend.kind} at school.
    |One Monday, a new {friend.kind} came into the class.
    |"This is {friend}," said {teacher}. "{Friend.he} is new here."]
    [{Friend.his} name was {friend}, and {friend.he} came|{friend} came] from {from_where}.
    [{Friend.he} spoke so softly that nobody could hear {friend.him}.
    |{Friend.he} looked at {friend.his} shoes.
    |{Friend.he} knew nobody.
    |]

    At noon the others went out to {do}. {friend} [sat|stood] alone {alone}.
    [Nobody asked {friend.him} to play.|The others thought that {friend.he} did not like them.|] {hero} saw it.
    [{He} was a bit shy, too.|{He} remembered {his} own first day.|]
    {He} wanted to say hello, but what do you say after hello?
    [{He} went closer, then turned around again.|{He} [walked past two times|took three steps and stopped].|]
    "[What is the matter|What is it], {hero}?" asked {teacher}. "I don't know what to say to {friend.him}," said {hero}.
    "[Then don't talk yet|Use your eyes first]," said {teacher}. "Look.
    [There is always something|You will find something]."

    So {hero} looked. And {he} saw {clue}. [{His} heart jumped.|{He} smiled.|]
    {He} [sat down next to|went over to] {friend}. "{talk}?" {he} asked.
    {friend} [looked up|turned around], and {friend.his} [eyes grew bright|whole face changed].
    [Then {friend.he} talked and talked, and {friend.he} was not quiet at all.
    |"Yes!" {friend.he} said, and they both talked at once.
    |] [When the bell rang, they did not hear it.
    |They talked until the bell rang.
    |]

    [The next day|From then on], {friend} did not sit alone.
    [{hero} brought {his} other friends, and {friend} taught them a game from {from_where}.
    |There were two of them {alone}, and soon there were five.]
    ["I was afraid to say hello," {hero} said much later. "Me too," said {friend}.
    |When the next new child came, it was {friend} who went and looked for something.
    |{Teacher} saw it and said nothing, but {teacher.he} {smiled}.
    |]
    """,
)

SURPRISE = Plot(
    name="the birthday that was forgotten",
    cast={"hero": CHILDREN, "friend": CHILDREN, "parent": PARENTS},
    tables={
        "strange true": [
            ("{Parent} closed the kitchen door and did not let {him} in", "the cake on the table"),
            ("{Parent} hid something big behind {parent.his} back", "the big box with the ribbon"),
            ("There was {color} paint on {parent}'s nose", "the sign over the door"),
            ("Somebody had taken all the chairs", "the long table with all the chairs"),
            (
                "{Parent} was out of breath and had a bit of balloon in {parent.his} hair",
                "fifty balloons in every corner",
            ),
        ],
        "color": COLORS,
        "hide": ["from behind the sofa", "from under the table", "from behind the curtains", "out of the closet"],
        "present": ["a bike", "a kitten in a basket", "a pair of skates", "a guitar", "a telescope", "a box of paints"],
        "errand": ["buy a loaf of bread", "bring a letter to the post", "take the dog for a walk", "fetch some milk"],
    },
    text="""
    [{hero} woke up early. It was {his} birthday!
    |It was {hero}'s birthday.
    |{hero} jumped out of bed. It was {his} birthday!]
    [Today {he} was [six|seven] years old.|{He} had counted the days.|] [{He} ran [down the stairs|into the kitchen].|]
    "Good morning, {hero}," said {parent}. [That was all.|And {parent.he} said nothing else.]
    [{hero} waited.|{hero} sat down and waited.|] [There was no cake and no present.|There was only bread on the table.]
    Had {parent} forgotten?

    At school it was the same. [{friend} talked about the weather.|{friend} did not even look at {him}.|]
    "[Do you know what day it is|Is today a special day]?" asked {hero}.
    "[Tuesday|Friday|Thursday]," said {friend}, and [ran off|looked away].
    [{hero} was {sad}.|{hero} had a lump in {his} throat.|{hero} kicked a stone all the way home.]
    At home, things were strange. {strange}. "Can you {errand}, {hero}?" asked {parent}.
    "[And take your time|You don't need to hurry]." {hero} went.
    [On {his} birthday!|Nobody has to do that on a birthday, {he} thought.|]

    When {he} came back, the house was dark and [quiet|still]. "[Hello|Is anybody here]?" {he} called.
    {He} [opened the door slowly|felt for the light]. "SURPRISE!" [All {his} friends|Everybody] jumped {hide}.
    [{friend} was the first, and {friend.he} was laughing.|{friend} blew a paper horn.|]
    {hero} [almost fell over|could not say a word]. Now {he} saw {true}.
    "[Did you think that we forgot you|Did you really think that we forgot]?"
    asked {parent}, and gave {him} a big [hug|kiss]. "[It was so hard not to tell you|I almost told you twice]!"
    said {friend}.

    {hero} got {present}, [and they danced until it was late|and there was cake for all].
    [But the best present was that nobody had forgotten.
    |"You are very bad liars," {he} told them. "But you are good friends."
    |{slept}
    |"Next year I will surprise you," {he} told {friend}.]
    """,
)

SICK_FRIEND = Plot(
    name="the sick friend",
    cast={"hero": CHILDREN, "friend": CHILDREN, "parent": FAMILY},
    tables={
        "ill": ["had a fever", "had a bad cold", "had red spots all over", "had a broken leg"],
        "miss plan": [
            (
                "the school fair",
                "{hero} drew the whole fair on a long roll of paper, with every tent and every face",
            ),
            ("the first snow", "{hero} filled a bowl with snow and carried it up the stairs"),
            (
                "the play",
                "{hero} made dolls out of spoons and played it for {friend.him} behind the end of the bed",
            ),
            ("the class trip to the zoo", "{hero} acted out the animals, one by one, and the monkey was the best"),
            ("the picnic", "{hero} put a cloth on the bed, and they ate bread and cherries from it"),
            ("the parade", "{hero} marched around the bed with a pot and a spoon, as loud as ten men"),
        ],
        "gift": ["a pot of soup", "a bag of oranges", "a jar of jam", "a bag of grapes"],
    },
    text="""
    [{friend} could not come out to play.
    |The chair next to {hero} was empty.
    |{hero} rang {friend}'s bell, but {friend} did not come out.]
    {Friend} {ill} and had to stay in bed [for a week|for many days].
    [And it was the week of {miss}!|And so {friend.he} would miss {miss}.]
    [{friend} had looked forward to it [all year|for a long time].|] [{hero} was {sad}, too.|]
    [Without {friend}, {he} did not want to go.|It was no fun without {friend}.|]

    "[Can I visit {friend.him}|What can I do for {friend.him}]?" {he} asked {parent}.
    "[Take {friend.him} this|You can bring {friend.him} this]," said {parent}, and gave {him} {gift}.
    "[It is good to eat when you are sick|It will help a bit]." [{hero} put it in a basket.|]
    But {hero} thought that {friend} needed something else.
    [{He} thought about it on the way.|{He} sat on the bed and thought.|{He} could not sleep until {he} had an idea.|]
    {friend} could not go to {miss}. So {miss} had to come to {friend}!

    [The next day|After school], {hero} knocked at {friend}'s door with [a big bag|a box under {his} arm].
    "[Close your eyes|Don't look yet]," {he} said. [It took a while.|There was a lot of noise.|] "Now!" {plan}.
    {friend} [laughed until {friend.he} had to cough|sat up in bed|forgot that {friend.he} was sick]. "[Again|More]!"
    {friend.he} [said|cried]. [They did it all over again.|]

    [A week later|Some days later], {friend} was [well|better].
    "[I did not miss anything|I was there after all]," {friend.he} said.
    [And when {hero} was ill in the winter, there was a knock at the door, too.
    |They went out and ran through the street until they were out of breath.
    |{hero} was {happy}. The chair next to {him} was not empty any more.]
    """,
)

RACE = Plot(
    name="the race",
    cast={"hero": CHILDREN, "rival": CHILDREN, "parent": FAMILY},
    tables={
        "race": [
            "the school race",
            "the sack race",
            "the bike race",
            "the race around the lake",
            "the race to the old mill",
        ],
        "fall help": [
            ("{rival} fell and held {rival.his} knee", "stopped and helped {rival.him} up"),
            (
                "{rival} turned the wrong way, toward the deep ditch",
                "shouted and ran after {rival.him} until {rival.he} turned",
            ),
            ("{rival} got stuck in the mud", "gave {rival.him} a hand and pulled"),
            (
                "{rival} hit a tree and sat there with a bump on {rival.his} head",
                "turned back and sat down with {rival.him}",
            ),
        ],
        "prize": ["a gold cup", "a blue ribbon", "a big chocolate cake", "a silver bell", "a medal"],
        "share": [
            "The judge gave each of them a flower",
            '"The prize for speed goes to somebody else," said the judge, "but this one is for you," '
            "and gave {him} a flower",
            "Nobody looked at the winner. They all clapped for the last two",
            "The winner came over and shook {his} hand",
        ],
    },
    text="""
    [Every summer [the children waited for|there was] {race}.|The day of {race} had come.|{hero} wanted to win {race}.]
    The winner would get {prize}. {hero} had [trained|practiced] every day, before breakfast and after school.
    [{Parent} had helped {him} and counted the seconds.|] But there was {rival}.
    {rival} was [very fast|the fastest of all] and had won last year.
    "[You can't beat me|You will see my back]," {rival.he} said [and laughed|before the start].
    [{hero} said nothing.|"We will see," said {hero}.|]

    "[Ready, steady, go|One, two, three, go]!" [They were off.|Off they went.|]
    {rival} was in front, and {hero} was right behind {rival.him}.
    [The people shouted and waved.|{hero}'s heart beat fast.|The wind blew in {his} face.|]
    {hero} came closer and closer. [Only one more turn!|{He} could see the end.|] Then {fall}.
    [Now nobody was in front of {hero}.|Now {hero} could win.|] [The way was free.|{He} only had to go on.|]
    {hero} looked at the end and looked at {rival}. [It took {him} one second.|{He} did not think long.|] {He} {help}.

    "[Why did you stop?|You could have won!]" said {rival}. "You needed help," said {hero}.
    "[I can win next year|There is always another race]." [The others went by, one after another.|]
    Side by side, they came in last of all. {share}.
    [{Parent} hugged {hero}. "I am {proud} of you," {parent.he} said.
    |{hero} had no prize, but {he} felt like a winner.
    |] ["Next year I will beat you," said {rival}. "But I will not laugh at you."
    |The next day, {rival} came to train with {hero}, and they both got faster.
    |{rival} never said "You can't beat me" again.]
    """,
)

SCHOOL_PLAY = Plot(
    name="the forgotten line",
    cast={"hero": CHILDREN, "friend": CHILDREN, "teacher": TEACHERS},
    tables={
        "role line hint": [
            ("the moon", "I shine for everyone", "pointed to the lamp over the stage"),
            ("the old king", "Open the gate for the poor", "made a sign as if a door were opening"),
            ("a tree", "Sit in my shade, little bird", "flapped {friend.his} arms like wings"),
            ("the wind", "I will carry your song away", "blew out {friend.his} cheeks"),
            ("the bear", "Somebody has eaten all my honey", "rubbed {friend.his} tummy"),
            ("the sea", "I bring the ships home", "moved {friend.his} hand up and down like a wave"),
        ],
        "small": ["a mouse", "a stone", "a flower", "a star", "the cat"],
        "place": ["in the bath", "on the bus", "to the cat", "to the mirror", "under the blanket"],
    },
    text="""
    [The class of {teacher} put on a play.
    |There was going to be a play at school.
    |{teacher} wrote a play for the class.]
    {hero} was {role}.
    {He} had only one line, [but it was the last line of the play|and the whole play waited for it]: "{line}."
    {friend} was {small} and had no line at all.
    [{hero} said it {place}, again and again.|{hero} practiced it {place} until everybody at home knew it, too.]
    "What if I forget it?" {he} asked. "[You won't|You know it in your sleep]," said {friend}.
    [But {hero} was not so sure.|]

    Then the evening came. [The hall was full.|All the moms and dads were there.|There were more people than chairs.|]
    [The light went on, and it was hot and bright.|] [The play went well.|Everybody laughed in the right places.|]
    At last it was {hero}'s turn. {He} stepped to the front and opened {his} mouth. Nothing came out.
    [The line was gone!|{His} head was as empty as a bucket.|]
    [It was so quiet that you could hear a chair creak.|Somebody coughed.|{teacher} held {teacher.his} breath.|]
    {hero} [looked to the side|turned {his} head]. There stood {friend}, dressed as {small}.
    {friend} did not say a word, but {friend.he} {hint}.

    [Then it came back.|And {hero} remembered.|] "{line}!"
    {he} [called|said], so loud that [the last row|everybody] heard it.
    [Everyone clapped.|The people stood up and clapped.|]
    [{hero} took {friend} by the hand, and they bowed together.|{hero} bowed, and {his} ears were red.|]
    "You had no line," {hero} said [later|behind the stage], "but [without you there would be no end|you saved mine]."
    [{friend} {smiled}. "I had a line," {friend.he} said. "I only said it with my hands."
    |{friend} was {proud}.
    |"That is what friends are for," said {friend}.]
    [{Teacher} gave {friend} a big role in the next play.|After that, {hero} was never so afraid again.|]
    """,
)

QUARREL = Plot(
    name="the line down the middle",
    cast={"hero": CHILDREN, "friend": CHILDREN},
    tables={
        "spot have_a have_b need": [
            (
                "the tree house",
                "the ladder",
                "the lamp",
                "Without a lamp, {hero} sat in the dark, and without the ladder, {friend} could not get down",
            ),
            ("the boat", "one oar", "the other oar", "With one oar, the boat only went around in a ring"),
            (
                "the sandbox",
                "the pail",
                "the spade",
                "You can't fill a pail without a spade, and a spade is no good without a pail",
            ),
            (
                "the camp in the woods",
                "the pot",
                "the matches",
                "The pot stayed cold, and the fire was too hot to hold a potato in your hand",
            ),
            (
                "the snow fort",
                "the front",
                "the back",
                "The wind blew in from the front, the snow blew in from the back, and both of them were cold",
            ),
        ],
        "reason": [
            "who should be the captain",
            "what to name it",
            "who had found it first",
            "who had eaten the last cookie",
            "whether a whale is a fish",
        ],
        "mark": ["with a stick", "with a piece of chalk", "with a rope", "with stones"],
        "peace": ["half an apple", "the last cookie", "a drawing of the two of them", "one of {his} best cards"],
    },
    text="""
    [{hero} and {friend} were playing.
    |{hero} and {his} friend {friend} were playing in {spot}.
    |{hero} and {friend} did everything together.]
    [They had built {spot} with their own hands.|{spot} was their favorite place.|]
    But [one day|that day] they had a fight about {reason}. "I am right!" [shouted|cried] {hero}. "No, I am!"
    shouted {friend}. [Their faces were red.|They stamped their feet.|Neither of them wanted to stop.|]
    "Then we will share it," said {friend}, and {friend.he} made a line {mark} right down the middle of {spot}.
    "[This is my side, and that is yours|You stay there, and I stay here]."
    {hero} got {have_a}, and {friend} got {have_b}.

    [At first they were both pleased.|For a while, each of them looked the other way.|] Then they found out something.
    {need}. [But nobody said it.|Still, nobody wanted to be the first to talk.|]
    [It got late.|A long time went by.|A bird flew over the line and back again. It did not care.|]
    {hero} looked across. {friend} looked small and lonely.
    [What had the fight been about? {hero} hardly knew.|It was a silly fight, thought {hero}.|]

    {hero} had {peace}. {He} [put it on the line|pushed it to the other side]. {friend} looked at it.
    [Then {friend.he} began to smile.|Then {friend.he} came to the line, too.|]
    "[I am sorry|I am sorry I shouted]," said {hero}. "[So am I|Me too]," said {friend}.
    They [rubbed out|took away] the line [together|with their feet].
    [It is easier to make a line than to take it away, but they did it.|]
    [They never found out {reason}.
    |"You can be right tomorrow," said {hero}. "And you on Sunday," said {friend}.
    |When they had a fight after that, one of them only had to say "the line," and they laughed.]
    """,
)

PLOTS = (BIG_BALL, NEW_CHILD, SURPRISE, SICK_FRIEND, RACE, SCHOOL_PLAY, QUARREL)
