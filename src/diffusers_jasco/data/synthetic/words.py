# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Phrases of captions about styles, moods, tempos, instruments and form, beyond the names of the attributes."""

from collections.abc import Mapping


def _split(phrases: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in phrases.split(","))


def _table(rows: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: _split(phrases) for name, phrases in rows.items()}


# Related genres. Synonyms of a style itself are in `captions.STYLE_WORDS`.
GENRES = _table(
    {
        "pop": "radio pop, chart hit, mainstream pop, pop anthem, teen pop, indie pop, bubblegum pop",
        "80s pop": "new wave, synth pop, electropop, art pop, italo pop, new romantic",
        "rock": "classic rock, garage rock, alternative, indie rock, stadium rock, hard rock, grunge, britpop",
        "metal": "thrash, power metal, speed metal, doom, headbanging riffs, metalcore",
        "ballad": "love song, slow dance, piano ballad, torch song, lullaby, serenade",
        "folk": "singer songwriter, traditional folk, acoustic folk, ballad of the hills, roots music, folk dance",
        "country": "bluegrass, americana, honky tonk, nashville sound, cowboy song, hoedown, outlaw country",
        "blues": "chicago blues, delta blues, rhythm and blues, twelve bar feel, texas blues, boogie",
        "swing jazz": "bebop, big band, cool jazz, jazz combo, jazz standard, dixieland, cabaret",
        "bossa nova": "samba, brazilian jazz, latin jazz, lounge, easy listening, exotica",
        "funk": "groove music, street groove, acid jazz, soul funk, jam band, deep funk",
        "disco": "dance floor classic, studio disco, boogie, nu disco, philly soul, euro disco",
        "house": "club track, dance music, edm, garage house, progressive house, electronic dance music",
        "techno": "minimal techno, acid techno, warehouse techno, industrial, detroit techno, rave, electronica",
        "trance": "progressive trance, euro trance, rave anthem, goa, electronic dance music, big room",
        "hip hop": "boom bap, rap instrumental, street beat, freestyle beat, breakbeat, old school hip hop",
        "lo-fi": "study beats, chill beats, jazzhop, bedroom beats, chillout, downbeat",
        "reggae": "roots reggae, dub, rocksteady, island music, caribbean groove, lovers rock",
        "ska": "two tone, ska punk, skank, third wave, offbeat dance",
        "salsa": "mambo, timba, cuban son, tropical, bachata, latin dance",
        "waltz": "viennese waltz, ballroom dance, musette, carousel music, landler, minuet",
        "celtic jig": "folk dance, pub session, traditional jig, ceilidh, fiddle tune, gaelic dance",
        "slow 6/8 soul": "doo wop, gospel, motown ballad, rhythm and blues, slow jam, southern soul",
        "orchestral": "symphonic, soundtrack, film score, overture, chamber music, suite, trailer music",
        "ambient": "new age, drone, meditation music, soundscape, chillout, space music, minimal",
        "synthwave": "outrun, cyberpunk, vaporwave, darksynth, retro electro, arcade music",
        "march": "military band, brass band, parade music, fanfare, concert band, anthem",
    }
)  # fmt: skip

# Names of genres that prompts may contain but captions do not, by the style that is closest to them.
OTHER_GENRES = _table(
    {
        "pop": "k pop, j pop, indie, eurovision, r and b pop, dance pop, jingle",
        "80s pop": "synthpop, eighties, new romantic pop",
        "rock": "punk, punk rock, pop punk, surf rock, rock and roll, rock n roll, rockabilly, post rock, emo, prog,"
        " progressive rock, alternative rock, blues rock, psychedelic",
        "metal": "death metal, black metal, nu metal, djent, hardcore",
        "ballad": "romance, love ballad, christmas carol",
        "folk": "acoustic, indie folk, medieval, sea shanty, shanty, pirate song",
        "country": "western",
        "blues": "boogie woogie",
        "swing jazz": "jazzy, ragtime, gypsy jazz, smooth jazz, jazz trio, jazz quartet",
        "bossa nova": "bossanova, bosa nova, bossa jazz",
        "funk": "fusion, jazz fusion, funk rock",
        "house": "electro, electronic, dance, club, tech house, uk garage, tropical house",
        "techno": "drum and bass, dnb, jungle, dubstep, hardstyle, idm, edm techno",
        "trance": "psytrance, psy trance, eurodance",
        "hip hop": "hiphop, rap, trap, drill, grime",
        "lo-fi": "lo fi hip hop, lofi hip hop, chill, chill hop, trip hop",
        "reggae": "dancehall, ragga, calypso",
        "salsa": "cumbia, merengue, rumba, cha cha, tango, flamenco, reggaeton, afrobeat, latin pop, samba fusion",
        "celtic jig": "jig, reel, irish, scottish reel, hornpipe",
        "slow 6/8 soul": "motown, r and b, rnb, r n b, neo soul",
        "orchestral": "cinematic, epic, symphony, sonata, string quartet, baroque, movie score, video game score",
        "ambient": "relaxing, drone music, soundscapes, spa music, sleep music",
        "synthwave": "retro wave, chiptune, 8 bit, synth wave, video game music",
        "march": "marching, military, national anthem",
    }
)  # fmt: skip

# Where the music would be played, or what it accompanies.
SCENES = _table(
    {
        "pop": "summer, a shopping mall, a road trip, a birthday party, a commercial, the radio, best friends, morning",
        "80s pop": "a roller rink, a teen movie, an aerobics class, a neon city, a school dance, a montage, the mall",
        "rock": "a stadium, a garage, the highway, a motorcycle ride, a bar, an arena concert, a rebellion",
        "metal": "a mosh pit, a battle, a boss fight, a horror movie, a storm, a dungeon, rage",
        "ballad": "a wedding, a candlelight dinner, a rainy day, a farewell, lovers, a broken heart, a bedtime story",
        "folk": "a campfire, a mountain cabin, a village, a long walk, the countryside, autumn, a river, a farm",
        "country": "a barn dance, a pickup truck, a ranch, a saloon, a rodeo, a porch, the open road, a prairie",
        "blues": "a smoky bar, a juke joint, a crossroads, midnight, a lonely night, a freight train, hard times",
        "swing jazz": "a cocktail bar, a ballroom, a nightclub, a speakeasy, a hotel lobby, new year, a detective story",
        "bossa nova": "a beach, a coffee shop, an elevator, a pool, a sunset, a hotel bar, a holiday, the seaside",
        "funk": "a block party, a car chase, a basketball game, a cop show, a dance battle, strutting, the street",
        "disco": "a dance floor, a mirror ball, a glitter party, saturday night, a fashion show, roller skates",
        "house": "a nightclub, a rooftop party, a pool party, a workout, a dj set, a fashion runway, ibiza nights",
        "techno": "a warehouse, an underground club, a factory, a rave, a robot, a race, an all night party",
        "trance": "a festival, a laser show, a sunrise, hands in the air, a main stage, a night flight, the stars",
        "hip hop": "the block, a rapper, a city night, a skate video, graffiti, a freestyle battle, the subway",
        "lo-fi": "studying, homework, a rainy window, a sleepy cat, a late night, reading, a cup of tea, a library",
        "reggae": "an island, a beach bar, a hammock, the sun, an idle afternoon, palm trees, a boat",
        "ska": "a skate park, a school party, a checkered dance floor, jumping, a street parade, a comedy",
        "salsa": "a dance class, a carnival, a street festival, a hot night, a latin wedding, a fiesta, havana nights",
        "waltz": "a palace, a ball, a carousel, a music box, a fairy tale, an old film, an ice rink, a castle",
        "celtic jig": "a tavern, a pub, a green field, a harvest, a fantasy village, an inn, sailors, a ship",
        "slow 6/8 soul": "a prom, a slow dance, a church, a diner, a goodbye, a jukebox, a summer night, a confession",
        "orchestral": "an adventure, a hero, a battle scene, a documentary, a trailer, a kingdom, a dragon, an opening scene",
        "ambient": "sleep, yoga, a spa, meditation, outer space, a cave, the ocean, falling snow, clouds, breathing",
        "synthwave": "a night drive, an arcade, a neon street, a video game, a sports car, a robot city, the future",
        "march": "a parade, a football game, soldiers, a coronation, a circus, a ceremony, a graduation, a homecoming",
    }
)  # fmt: skip

ERAS = _table(
    {
        "pop": "modern, contemporary, 2000s, today",
        "80s pop": "80s, eighties, retro, 1980s",
        "rock": "70s, seventies, 90s, nineties, classic",
        "metal": "80s, nineties, modern, old school",
        "ballad": "timeless, classic, 90s, sentimental",
        "folk": "traditional, old time, rustic, ancient",
        "country": "traditional, old time, 50s, classic",
        "blues": "old school, vintage, 1950s, traditional",
        "swing jazz": "1930s, 1940s, forties, vintage, golden age",
        "bossa nova": "60s, sixties, 1960s, retro",
        "funk": "70s, seventies, 1970s, old school",
        "disco": "70s, seventies, 1970s, retro",
        "house": "90s, nineties, modern, contemporary",
        "techno": "90s, futuristic, modern, underground",
        "trance": "90s, 2000s, nineties, futuristic",
        "hip hop": "90s, old school, nineties, golden age",
        "lo-fi": "modern, retro, contemporary, dusty",
        "reggae": "70s, classic, seventies, old school",
        "ska": "60s, 90s, classic, old school",
        "salsa": "70s, traditional, classic, modern",
        "waltz": "19th century, old, antique, imperial",
        "celtic jig": "traditional, ancient, medieval, old time",
        "slow 6/8 soul": "50s, fifties, 60s, sixties, vintage",
        "orchestral": "modern, timeless, romantic era, contemporary",
        "ambient": "timeless, modern, futuristic, contemporary",
        "synthwave": "80s, retro, futuristic, 1980s",
        "march": "traditional, old, military, historic",
    }
)  # fmt: skip

PLACES = _table(
    {
        "80s pop": "british, european, tokyo",
        "rock": "american, british, california, seattle",
        "metal": "scandinavian, british, german",
        "folk": "european, appalachian, english, rural",
        "country": "american, nashville, texas, southern",
        "blues": "american, chicago, memphis, mississippi, southern",
        "swing jazz": "american, new york, harlem, new orleans, parisian",
        "bossa nova": "brazilian, rio, tropical, south american",
        "funk": "american, new orleans, oakland",
        "disco": "new york, european, paris",
        "house": "chicago, european, berlin, ibiza",
        "techno": "detroit, berlin, german",
        "trance": "european, dutch, german",
        "hip hop": "american, brooklyn, west coast, east coast",
        "lo-fi": "tokyo, japanese, urban",
        "reggae": "jamaican, kingston, caribbean, tropical",
        "ska": "jamaican, london, california",
        "salsa": "cuban, caribbean, havana, latin american, tropical",
        "waltz": "viennese, parisian, french, european",
        "celtic jig": "irish, scottish, celtic, dublin",
        "slow 6/8 soul": "american, memphis, southern, detroit",
        "orchestral": "european, hollywood, british",
        "synthwave": "miami, tokyo, los angeles",
        "march": "american, european, british",
    }
)  # fmt: skip

# Adjectives of a style's sound.
SOUNDS = _table(
    {
        "pop": "polished, shiny, melodic, fresh, radio friendly, light, youthful, glittery",
        "80s pop": "shimmering, synthetic, big, colorful, slick, sparkling, flashy, pastel",
        "rock": "loud, gritty, punchy, guitar driven, rough, electric, roaring, rebellious",
        "metal": "brutal, crushing, distorted, ferocious, thundering, sharp, savage, massive",
        "ballad": "lush, delicate, emotional, heartfelt, sweeping, soft, touching, sincere",
        "folk": "earthy, organic, woody, natural, rustic, honest, homespun, humble",
        "country": "twanging, rootsy, down home, woody, honest, friendly, dusty, wholesome",
        "blues": "dirty, moaning, greasy, rough, earthy, wailing, raw, weary",
        "swing jazz": "swinging, snappy, classy, brassy, witty, suave, playful, debonair",
        "bossa nova": "silky, smooth, breezy, light, cool, airy, gentle, sensual",
        "funk": "slinky, greasy, punchy, percussive, sassy, syncopated, fat, cheeky",
        "disco": "sparkling, silky, glittering, bubbly, lush, shiny, flamboyant, dazzling",
        "house": "pumping, bouncing, thumping, deep, clubby, punchy, sleek, infectious",
        "techno": "pounding, cold, metallic, relentless, robotic, pulsing, stark, gritty",
        "trance": "shimmering, pulsing, anthemic, huge, melodic, glowing, dreamy, uplifting",
        "hip hop": "head nodding, dusty, bouncing, boomy, cool, swaggering, street wise, smooth",
        "lo-fi": "hazy, muffled, cozy, dusty, soft, warm, faded, grainy",
        "reggae": "bouncy, skanking, breezy, deep, rolling, sunny, mellow, carefree",
        "ska": "upbeat, brassy, skanking, jumpy, bright, cheeky, zippy, frantic",
        "salsa": "percussive, spicy, brassy, syncopated, hot, swirling, passionate, vibrant",
        "waltz": "swirling, flowing, elegant, lilting, sweeping, delicate, dainty, refined",
        "celtic jig": "lilting, sprightly, skipping, earthy, spirited, whirling, merry, stomping",
        "slow 6/8 soul": "swaying, smooth, rolling, silky, deep, yearning, velvet, tearful",
        "orchestral": "grand, sweeping, lush, huge, symphonic, dramatic, noble, breathtaking",
        "ambient": "ethereal, airy, drifting, weightless, shimmering, glassy, misty, frozen",
        "synthwave": "glowing, pulsing, analog, electric, synthetic, shimmering, chrome, midnight",
        "march": "brassy, bold, crisp, stately, rousing, pompous, patriotic, disciplined",
    }
)  # fmt: skip

# (mode, energy) → moods.
MOODS = {
    ("major", "calm"): _split("peaceful, serene, hopeful, sweet, tranquil, content, innocent, soothing, comforting, loving, tender, blissful, caring, pure, grateful"),
    ("major", "medium"): _split("happy, positive, optimistic, pleasant, friendly, carefree, charming, good natured, sunny, lighthearted, feel good, cheery, amused, welcoming, hearty"),
    ("major", "energetic"): _split("joyous, exciting, triumphant, upbeat, jubilant, celebratory, exhilarating, victorious, ecstatic, fun, thrilling, bubbly, elated, radiant, heroic"),
    ("minor", "calm"): _split("sad, melancholic, wistful, lonely, sorrowful, gloomy, bittersweet, haunting, reflective, pensive, nocturnal, mournful, fragile, distant, aching"),
    ("minor", "medium"): _split("moody, serious, mysterious, brooding, longing, restless, somber, shadowy, yearning, cool, introspective, uneasy, cryptic, stern, cautious"),
    ("minor", "energetic"): _split("intense, tense, angry, fierce, urgent, dramatic, menacing, defiant, furious, stormy, desperate, suspenseful, wild, dangerous, ominous"),
}  # fmt: skip

# (lowest BPM, lowest BPM above) → tempo terms, for beats of 2/4, 3/4 and 4/4.
TEMPO_TERMS = (
    (0, 64, _split("largo, very slow, crawling")),
    (60, 84, _split("adagio, leisurely, lazy tempo")),
    (76, 100, _split("andante, walking pace, strolling tempo")),
    (96, 126, _split("moderato, medium paced, comfortable tempo")),
    (126, 148, _split("allegro, brisk, lively tempo")),
    (140, 180, _split("vivace, very fast, rapid, racing")),
)

# The same for terms that prompts may contain but captions do not: (range in BPM, terms).
OTHER_TEMPOS = (
    ((44, 60), _split("grave, lento, larghetto, super slow, extremely slow")),
    ((56, 83), _split("slowly, slower, slow motion")),
    ((84, 125), _split("midtempo, mid paced")),
    ((112, 126), _split("allegretto")),
    ((126, 160), _split("uptempo, faster, speedy")),
    ((168, 200), _split("presto, super fast, extremely fast, breakneck")),
)

# Drums that sound → phrases.
DRUM_SOUNDS = _table(
    {
        "hat": "hi hats, crisp hats, ticking hats",
        "ride": "ride cymbal, ride pattern",
        "clap": "claps, hand claps",
        "rim": "rim clicks, side stick",
        "tambourine": "tambourine",
        "shaker": "shaker",
        "conga": "congas, hand drums",
        "cowbell": "cowbell",
        "tom": "toms, tom fills",
        "crash": "crash cymbals",
        "snare": "snare, backbeat",
        "kick": "kick drum, bass drum",
    }
)

TIME_SIGNATURES = _table(
    {
        "3/4": "in 3/4, 3/4 time, waltz time, triple meter, three beats per bar",
        "6/8": "in 6/8, 6/8 time, six eight time, compound time",
        "4/4": "in 4/4, 4/4 time, common time, four beats per bar",
    }
)

FORMS = _table(
    {
        "intro": "intro, opening, it begins with an intro, instruments enter one after another",
        "ending": "ending, outro, final chord, it ends with a final chord",
        "build": "builds up, crescendo, growing, rising tension",
        "quiet to loud": "quiet verse and loud chorus, dynamic contrast",
        "steady": "steady from start to end, constant, loop based",
    }
)

TEXTURES = {
    "sparse": _split("sparse, minimal, bare, stripped down, simple arrangement, uncluttered"),
    "medium": _split("clear, open texture, small group, compact"),
    "dense": _split("dense, thick, full arrangement, layered, rich texture, busy texture"),
}

# Register and articulation of the lead.
LEAD_REGISTERS = {
    "low": _split("low, deep"),
    "middle": _split("middle register, midrange"),
    "high": _split("high, high pitched"),
}
LEAD_RHYTHMS = {
    "long": _split("long notes, sustained melody, legato melody, singing line"),
    "mixed": _split("varied melody, lyrical melody, expressive line"),
    "short": _split("short notes, running notes, rippling runs, nimble melody, busy melody"),
}

FEELS = {
    "swing": _split("swung, swing feel, shuffled, shuffle feel"),
    "straight": _split("straight, straight feel, even eighths"),
}

HARMONIES = {
    "triads": _split("simple chords, plain triads, basic harmony"),
    "sevenths": _split("jazzy chords, rich harmony, seventh chords, extended chords, colorful harmony"),
    "still": _split("few chords, static harmony, unchanging chords"),
    "moving": _split("many chords, frequent chord changes, busy harmony"),
}

# Patterns of the accompaniment and the bass → phrases.
COMP_PATTERNS = _table(
    {
        "block": "held chords, sustained chords, block chords",
        "eighths": "driving eighths, repeated chords",
        "push": "pushed chords, syncopated chords",
        "stabs": "chord stabs, staccato chords",
        "skank": "offbeat chords, skank",
        "sixteenths": "tight chord rhythm, sixteenth chords",
        "gallop": "galloping rhythm, gallop",
        "charleston": "charleston rhythm, comping",
        "bossa": "bossa rhythm, gentle comping",
        "strum": "strummed, strumming",
        "boom-chick": "boom chick, alternating rhythm",
        "montuno": "montuno, guajeo",
        "waltz": "oom pah, waltz chords",
        "tremolo": "tremolo, trembling chords",
        "arpeggio": "arpeggios, broken chords, arpeggiated",
        "alberti": "alberti figures, rolling chords",
        "travis": "fingerpicked, fingerpicking, picked",
    }
)
BASS_PATTERNS = _table(
    {
        "roots": "root notes, simple bass",
        "fifths": "roots and fifths, alternating bass",
        "eighths": "eighth note bass, steady bass",
        "octaves": "octave bass, bouncing octaves",
        "sixteenths": "rolling bass, sixteenth bass",
        "offbeats": "offbeat bass, pumping bass",
        "syncopated": "syncopated bass, groovy bass",
        "gallop": "galloping bass",
        "walking": "walking bass",
        "bossa": "bossa bass",
        "funk": "funky bass, busy bass",
        "reggae": "reggae bass, deep bass",
        "tumbao": "tumbao bass, anticipated bass",
    }
)

KEY_NAMES = {
    "C": ("c",), "C#": ("c sharp", "d flat"), "D": ("d",), "Eb": ("e flat",), "E": ("e",), "F": ("f",),
    "F#": ("f sharp", "g flat"), "G": ("g",), "Ab": ("a flat", "g sharp"), "A": ("a",), "Bb": ("b flat",),
    "B": ("b",),
}  # fmt: skip

# Requests, in which {} is the description of the music.
REQUESTS = _split(
    "i want {}; i need {}; give me {}; make {}; please create {}; can you play {}; compose {}; write {}; generate {};"
    " let me hear {}; how about {}; i would like {}; we are looking for {}; produce {}; this is {}; listen to {};"
    " imagine {}; it should be {}; something like {}; think of {}".replace(",", "").replace(";", ",")
)

LINKS = _split("with, featuring, including, over, built on, driven by, carried by, backed by, led by, full of, and")

# Captions contain these words as often as the sentence needs them, and all others once.
FUNCTION_WORDS = frozenset("a an the and of in on at for with by to from it is me like over".split())

# Words that contradict a calm piece, an energetic one, and those with and without swing.
FORCEFUL = _split(
    "aggressive, anthemic, brutal, crushing, driving, epic, ferocious, fiery, frantic, headbanging, huge, jumpy, loud,"
    " massive, pounding, pumping, punchy, relentless, roaring, rousing, savage, stomping, thumping, thundering,"
    " upbeat, whirling, zippy"
)
RESTFUL = _split(
    "cozy, delicate, dreamy, drifting, easy-going, easy listening, floating, hazy, laid-back, lazy, lullaby,"
    " meditation, mellow, relaxed, sleep, sleepy, tender, weightless"
)
STRAIGHT = _split("straight, even eighths")
SWINGING = _split("swing, swinging, swung, shuffle, shuffled")
