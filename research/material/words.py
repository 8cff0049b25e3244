"""What the voices of the benchmarks say and sing; everything here is in the public domain."""

ALICE = """
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing
to do: once or twice she had peeped into the book her sister was reading, but it had no pictures or
conversations in it, and what is the use of a book, thought Alice, without pictures or
conversations? So she was considering in her own mind, as well as she could, for the hot day made
her feel very sleepy and stupid, whether the pleasure of making a daisy-chain would be worth the
trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes ran close
by her.
"""
"""Lewis Carroll, Alice's Adventures in Wonderland, 1865."""

ISHMAEL = """
Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my
purse, and nothing particular to interest me on shore, I thought I would sail about a little and see
the watery part of the world. It is a way I have of driving off the spleen and regulating the
circulation. Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly
November in my soul; whenever I find myself involuntarily pausing before coffin warehouses, and
bringing up the rear of every funeral I meet; then, I account it high time to get to sea as soon as
I can.
"""
"""Herman Melville, Moby-Dick, 1851."""

BENNET = """
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be
in want of a wife. However little known the feelings or views of such a man may be on his first
entering a neighbourhood, this truth is so well fixed in the minds of the surrounding families, that
he is considered as the rightful property of some one or other of their daughters. My dear Mr.
Bennet, said his lady to him one day, have you heard that Netherfield Park is let at last? Mr.
Bennet replied that he had not. But it is, returned she; for Mrs. Long has just been here, and she
told me all about it.
"""
"""Jane Austen, Pride and Prejudice, 1813."""

TWO_CITIES = """
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of
Light, it was the season of Darkness, it was the spring of hope, it was the winter of despair, we
had everything before us, we had nothing before us, we were all going direct to Heaven, we were all
going direct the other way.
"""
"""Charles Dickens, A Tale of Two Cities, 1859."""

MARS = """
No one would have believed in the last years of the nineteenth century that this world was being
watched keenly and closely by intelligences greater than man's and yet as mortal as his own; that as
men busied themselves about their various concerns they were scrutinised and studied, perhaps almost
as narrowly as a man with a microscope might scrutinise the transient creatures that swarm and
multiply in a drop of water. With infinite complacency men went to and fro over this globe about
their little affairs, serene in their assurance of their empire over matter.
"""
"""H. G. Wells, The War of the Worlds, 1898."""

WOODS = """
I went to the woods because I wished to live deliberately, to front only the essential facts of
life, and see if I could not learn what it had to teach, and not, when I came to die, discover that
I had not lived. I did not wish to live what was not life, living is so dear; nor did I wish to
practise resignation, unless it was quite necessary. I wanted to live deep and suck out all the
marrow of life, to live so sturdily and Spartan-like as to put to rout all that was not life.
"""
"""Henry David Thoreau, Walden, 1854."""

ADDRESS = """
Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived
in Liberty, and dedicated to the proposition that all men are created equal. Now we are engaged in a
great civil war, testing whether that nation, or any nation so conceived and so dedicated, can long
endure. We are met on a great battle-field of that war. We have come to dedicate a portion of that
field, as a final resting place for those who here gave their lives that that nation might live.
"""
"""Abraham Lincoln, the Gettysburg Address, 1863."""

RAVEN = """
Once upon a midnight dreary, while I pondered, weak and weary,
Over many a quaint and curious volume of forgotten lore,
While I nodded, nearly napping, suddenly there came a tapping,
As of some one gently rapping, rapping at my chamber door.
'Tis some visitor, I muttered, tapping at my chamber door,
Only this and nothing more.
Ah, distinctly I remember it was in the bleak December,
And each separate dying ember wrought its ghost upon the floor.
"""
"""Edgar Allan Poe, The Raven, 1845."""

GRACE = """
amazing:G3,C4,E4:1,2,1 grace:E4:2 how:D4:1 sweet:C4:2 the:A3:1 sound:G3:2 that:G3:1 saved:C4:2
a:E4:1 wretch:E4:2 like:D4:1 me:G4:5 I:E4:1 once:G4:2 was:E4:1 lost:E4:2 but:D4:1 now:C4:2 am:A3:1
found:G3:2 was:G3:1 blind:C4:2 but:E4:1 now:E4:2 I:D4:1 see:C4:5
"""
"""John Newton, 1779, to a simplification of New Britain, 1829. WORD:NOTES:BEATS."""

STAR = """
twinkle:C4,C4:1,1 twinkle:G4,G4:1,1 little:A4,A4:1,1 star:G4:2 how:F4:1 I:F4:1 wonder:E4,E4:1,1
what:D4:1 you:D4:1 are:C4:2 up:G4:1 above:G4,F4:1,1 the:F4:1 world:E4:1 so:E4:1 high:D4:2 like:G4:1
a:G4:1 diamond:F4,F4:1,1 in:E4:1 the:E4:1 sky:D4:2 twinkle:C4,C4:1,1 twinkle:G4,G4:1,1
little:A4,A4:1,1 star:G4:2 how:F4:1 I:F4:1 wonder:E4,E4:1,1 what:D4:1 you:D4:1 are:C4:2
"""
"""Jane Taylor, 1806, to "Ah ! vous dirai-je, maman", 1761. WORD:NOTES:BEATS."""
