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

"""
From music to a training set.

Every track becomes a folder of its own, `tracks/<id>/`, which appears when it is complete: clips of even length as FLAC
(`000.flac`, ...), their drums (`000.drums.flac`), encoded clips (`features.safetensors`), and `track.json` with what is known of
them; or, of a track that can't be used, `error.json` with the reason. What is there is never made again, so a run that was
killed goes on with the track in hand, and several processes and machines can share the work. In the end the tracks are put
together (`data/assembly.py`).
"""

import json
import math
import os
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from ..controls.chord_labels import default_chord_labels
from ..controls.melody import melody_from_npz, melody_to_notes
from ..extraction import extract_chords, extract_melody
from ..extraction.drums import DrumStream
from ..extraction.stream import AudioStream, resample_blocks
from ..loaders.audiocraft.files import read_chord_labels
from ..training.modules import load_codec, load_text_encoder
from .chord_files import Chords, fit_vocabulary, read_chords_per_track
from .features import encode_audio, encode_captions, encode_controls, load_clip, prepare_audio, wordings
from .output import OutputFolder
from .sources import Source, read_captions, read_captions_table, read_track_info, resolve_beside


TRACKS = "tracks"
MELODY_FRAME_RATE = 50.0  # Hz: of the notes that are read from salience
# A drum stem that is softer than the music by more than this, in dB, is what a separator leaves of music without drums.
DRUMLESS = -30.0
_METHODS = {
    "chords": ("auto", "chordino", "builtin", "none"),
    "melody": ("auto", "builtin", "deep_salience", "monophonic", "none"),
    "drums": ("auto", "demucs", "builtin", "none"),
}


@dataclass(frozen=True)
class PreparationSettings:
    r"""
    What is done with every track.

    Args:
        chords (`str`): method of [`~extraction.extract_chords`], `"none"`, or where chords are (see
            [`~data.chord_files.read_chords_per_track`]).
        melody (`str`): method of [`~extraction.extract_melody`], `"none"`, or a folder of `<track>_multif0_salience.npz`.
        drums (`str`): method of [`~extraction.separate_drums`], `"none"`, or a folder of `<track>.drums.flac` or `.wav`.
        melody_weights (`str`, *optional*): weights of `"deep_salience"`.
        chord_map (`str`, *optional*): a chord map; labels that it does not have become "UNK".
        captions (`str`, *optional*): a table, see [`~data.sources.read_captions_table`].
        codec (`str`, *optional*): folder of a codec or pipeline: clips are encoded with it.
        text_encoder (`str`, *optional*): as [`~training.modules.load_text_encoder`] takes it: captions are encoded with it.
        sampling_rate (`int`): of the clips, in Hz; the codec's, if there is one.
        clip_seconds (`float`): length of a clip. Tracks are cut into clips of even length, as near to it as possible.
        min_seconds (`float`): shorter tracks are errors: training takes parts of one length, by default JASCO's 10 s.
        device (`str`): device of the codec and the text encoder.

    Raises:
        `ValueError`: for a value that can't be.
    """

    chords: str = "auto"
    melody: str = "auto"
    drums: str = "auto"
    melody_weights: str | None = None
    chord_map: str | None = None
    captions: str | None = None
    codec: str | None = None
    text_encoder: str | None = None
    sampling_rate: int = 32000
    clip_seconds: float = 30.0
    min_seconds: float = 10.0
    device: str = "cpu"

    def __post_init__(self):
        for name, methods in _METHODS.items():
            value = getattr(self, name)
            if value not in methods and not os.path.exists(value):
                raise ValueError(
                    f"`{name}` has to be one of {', '.join(methods)} or an existing path, but is {value!r}."
                )
        if not 0 < self.min_seconds <= self.clip_seconds:
            raise ValueError(
                f"`min_seconds` has to be positive and at most `clip_seconds`, but they are {self.min_seconds} and"
                f" {self.clip_seconds}."
            )

        if self.text_encoder is not None and self.codec is None:
            raise ValueError("`text_encoder` needs `codec`: encoded captions belong to encoded clips.")

        # What is wrong with these is no track's fault. They are read anew, as they may have changed.
        _chord_table.cache_clear()
        _captions_table.cache_clear()
        _ = self.labels, _captions_table(self.captions)
        if "chords" in self.folders:
            _chord_table(self.chords)

    @property
    def labels(self) -> list[str]:
        """The chord labels that clips are encoded with."""
        return default_chord_labels() if self.chord_map is None else read_chord_labels(self.chord_map)

    @property
    def folders(self) -> dict[str, str]:
        """Of chords, melody and drums, where those are that are not extracted."""
        return {name: getattr(self, name) for name in _METHODS if getattr(self, name) not in _METHODS[name]}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_track(output: OutputFolder, source: Source) -> str | None:
    """`"track.json"` or `"error.json"` if a track is done, or else `None`."""
    folder = posixpath.join(TRACKS, source.id)
    return next((name for name in ("track.json", "error.json") if output.exists(posixpath.join(folder, name))), None)


def prepare_track(source: Source, settings: PreparationSettings, output: OutputFolder) -> bool:
    r"""
    Makes the folder of a track, if it is not there.

    Returns:
        `bool`: whether the track can be used. If not, `error.json` says why.

    Raises:
        `OSError`, `ImportError`: for what is not the track's fault, such as a full disk or an absent package.
    """
    done = find_track(output, source)
    if done is not None:
        return done == "track.json"
    folder = posixpath.join(TRACKS, source.id)
    try:
        with output.folder(folder, last="track.json") as target, source.local() as path:
            with _readable(path) as audio:
                track = _prepare(source, audio, settings, target)
            (target / "track.json").write_text(_to_json(track), encoding="utf-8")
        return True
    except ValueError as error:
        # A file may be elsewhere, or downloaded, in another run.
        reason = str(error).replace(str(path), source.name) if "path" in locals() else str(error)
        with output.folder(folder, last="error.json") as target:
            (target / "error.json").write_text(_to_json({"path": source.name, "error": reason}), encoding="utf-8")
        return False


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _prepare(source: Source, path: Path, settings: PreparationSettings, target: Path) -> dict[str, Any]:
    with soundfile.SoundFile(path) as file:
        facts = {
            "sampling_rate": file.samplerate,
            "channels": file.channels,
            "format": f"{file.format}/{file.subtype}",
        }
        tags = {key: value for key, value in file.copy_metadata().items() if value}
    stream = AudioStream(path, None, settings.sampling_rate)
    if stream.duration < settings.min_seconds:
        raise ValueError(
            f"{path} is too short: {stream.duration:.2f} s of at least {settings.min_seconds:g} s (`min_seconds`)."
        )
    num_clips = max(1, round(stream.duration / settings.clip_seconds))
    files = [f"{index:03d}.flac" for index in range(num_clips)]
    bounds = [round(round(stream.duration * stream.rate) * index / num_clips) for index in range(num_clips + 1)]
    lengths = [end - start for start, end in zip(bounds, bounds[1:])]
    powers = _write_clips(stream, lengths, [target / file for file in files], stream.rate)
    loudness = math.sqrt(sum(powers) / max(sum(lengths), 1))

    chords, unknown = _find_chords(source, path, settings)
    melody = _find_melody(source, path, settings, stream.duration)
    stems: list[str | None] = [None] * num_clips
    with _find_drums(source, path, settings) as drums:
        if drums is not None:
            stems = [f"{index:03d}.drums.flac" for index in range(num_clips)]
            powers = _write_clips(drums, lengths, [target / stem for stem in stems], settings.sampling_rate)
            for index, (length, power) in enumerate(zip(lengths, powers)):
                if math.sqrt(power / max(length, 1)) <= max(loudness, 1e-6) * 10 ** (DRUMLESS / 20):
                    (target / stems[index]).unlink()
                    stems[index] = None

    sidecar = read_track_info(source)
    track_info = sidecar | source.info
    clips, start = [], 0.0
    for length, file, stem in zip(lengths, files, stems):
        duration = length / settings.sampling_rate
        clips.append(
            {
                "file_name": file,
                "stems": {} if stem is None else {"drums": stem},
                "start": round(start, 6),
                "duration": round(duration, 6),
                "chords": None if chords is None else cut_chords(chords, start, duration),
                "melody": None if melody is None else cut_notes(melody, start, duration),
            }
        )
        start += duration
    track = {
        "path": source.name,
        **facts,
        "duration": round(stream.duration, 6),
        "captions": read_captions(source, sidecar, tags, _captions_table(settings.captions)),
        "title": track_info.get("title") or tags.get("title"),
        "artist": track_info.get("artist") or tags.get("artist"),
        "album": track_info.get("album") or tags.get("album"),
        "unknown_chords": dict(sorted(unknown.items())),
        "clips": clips,
    }
    if settings.codec is not None:
        _encode(track, settings, target)
    return track


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """A file that soundfile reads: `path`, or what torchaudio decodes of it (M4A, ...), for the time of the block."""
    try:
        soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        reason = f"{path} can't be read as audio ({error}"
    else:
        yield path
        return
    import torchaudio

    try:
        waveform, rate = torchaudio.load(path)
    except ImportError:
        raise ValueError(f"{reason}; torchaudio can't try without torchcodec).") from None
    # Decoders fail in many ways.
    except Exception as error:
        raise ValueError(f"{reason}; torchaudio: {type(error).__name__}).") from error
    with TemporaryDirectory() as folder:
        decoded = Path(folder, f"{path.stem}.wav")
        soundfile.write(decoded, waveform.T.numpy(), rate, subtype="FLOAT")
        yield decoded


def _write_clips(blocks: Iterable[np.ndarray], lengths: list[int], files: list[Path], rate: int) -> list[float]:
    """Writes blocks of audio as clips of these lengths; returns the power of each, summed over its samples."""
    blocks, rest, powers = iter(blocks), np.zeros(0, dtype=np.float32), []
    for file, length in zip(files, lengths):
        power, count = 0.0, 0
        with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format="FLAC") as clip:
            while count < length:
                if not len(rest):
                    # Resamplers and separators end some samples early.
                    rest = next(blocks, np.zeros(length - count, dtype=np.float32))
                    continue
                part, rest = rest[: length - count], rest[length - count :]
                clip.write(part.clip(-1, 1))
                power, count = power + float((part.astype(np.float64) ** 2).sum()), count + len(part)
        powers.append(power)
    return powers


# Controls


@lru_cache(maxsize=4)
def _chord_table(path: str) -> dict[str, Chords]:
    return read_chords_per_track(path)


@lru_cache(maxsize=1)
def _captions_table(path: str | None) -> dict[str, list[str]]:
    return {} if path is None else read_captions_table(path)


@lru_cache(maxsize=1)
def _codec(path: str, device: str) -> torch.nn.Module:
    return load_codec(path).to(device)


@lru_cache(maxsize=1)
def _text_encoder(name: str, device: str) -> tuple[PreTrainedTokenizerBase, torch.nn.Module]:
    tokenizer, text_encoder = load_text_encoder(name)
    return tokenizer, text_encoder.to(device)


def _find_chords(source: Source, path: Path, settings: PreparationSettings) -> tuple[Chords | None, dict[str, int]]:
    if settings.chords == "none":
        return None, {}
    if source.info.get("chords") is not None:
        chords = [(str(label), float(start)) for label, start in source.info["chords"]]
    elif settings.chords in _METHODS["chords"]:
        chords = extract_chords(path, method=settings.chords)
    else:
        table, name = _chord_table(settings.chords), source.track
        # The original cuts names at the first dot.
        name = name if name in table else name.split(".")[0]
        if name not in table:
            raise ValueError(f"{settings.chords} has no chords of the track {name!r}.")
        chords = table[name]
    if settings.chord_map is None:
        return chords, {}
    return fit_vocabulary(chords, settings.labels)


def _find_melody(source: Source, path: Path, settings: PreparationSettings, duration: float) -> list | None:
    if settings.melody == "none":
        return None
    if source.info.get("melody") is not None:
        return [tuple(note) for note in source.info["melody"]]
    if settings.melody in _METHODS["melody"]:
        matrix = extract_melody(
            path, method=settings.melody, frame_rate=MELODY_FRAME_RATE, weights=settings.melody_weights
        ).T
    else:
        file = _named_file(settings.melody, source, ("_multif0_salience.npz",))
        matrix = melody_from_npz(file, math.ceil(duration * MELODY_FRAME_RATE), MELODY_FRAME_RATE)
    return melody_to_notes(matrix, MELODY_FRAME_RATE)


@contextmanager
def _find_drums(source: Source, path: Path, settings: PreparationSettings) -> Iterator[Iterable[np.ndarray] | None]:
    """Blocks of the drums at the clips' rate, for the time of the block."""
    rate = settings.sampling_rate
    if settings.drums == "none":
        yield None
    elif source.info.get("stems") is not None:
        stem = source.info["stems"].get("drums")
        if stem is None:
            yield None
            return
        with Source(resolve_beside(source, stem), stem).local() as file:
            yield AudioStream(file, None, rate)
    elif settings.drums in _METHODS["drums"]:
        stream = DrumStream(path, method=settings.drums)
        yield resample_blocks(stream, stream.rate, rate)
    else:
        yield AudioStream(
            _named_file(settings.drums, source, (".drums.flac", ".drums.wav", ".flac", ".wav")), None, rate
        )


def _named_file(folder: str, source: Source, suffixes: tuple[str, ...]) -> Path:
    name = source.track
    names = [f"{stem}{suffix}" for stem in (name, name.split(".")[0]) for suffix in suffixes]
    found = next((Path(folder, name) for name in names if Path(folder, name).is_file()), None)
    if found is None:
        raise ValueError(f"{folder} has no file of the track {name!r}, such as {names[0]}.")
    return found


def cut_chords(chords: Chords, start: float, duration: float) -> Chords:
    """Those that sound between `start` and `start + duration`, from 0."""
    sounding = [(label, 0.0) for label, time in chords if time <= start][-1:]
    later = [(label, round(time - start, 4)) for label, time in chords if start < time < start + duration]
    return sounding + later


def cut_notes(notes: list, start: float, duration: float) -> list:
    cut = [
        (int(key), round(max(begin - start, 0.0), 4), round(min(end - start, duration), 4))
        for key, begin, end in notes
    ]
    # What reaches into a clip by less than a frame is not heard in it.
    return [note for note in cut if note[2] - note[1] >= 0.5 / MELODY_FRAME_RATE]


def _encode(track: dict[str, Any], settings: PreparationSettings, target: Path):
    """Writes the encoded clips, `<clip>.<name>` each, and `caption.<number>` for each wording."""
    codec, labels = _codec(settings.codec, settings.device), settings.labels
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    tensors = {}
    for index, clip in enumerate(track["clips"]):
        item = prepare_audio(load_clip(clip, target), codec.config.sampling_rate)
        encoded = encode_audio([item], codec)[0]
        encoded |= encode_controls(item, len(encoded["latents"]), frame_rate, labels)
        encoded["has_drums"] = torch.tensor(encoded["has_drums"], dtype=torch.uint8)
        tensors |= {f"{index:03d}.{name}": values.contiguous() for name, values in encoded.items()}
    if settings.text_encoder is not None:
        embeds = encode_captions(wordings(track), *_text_encoder(settings.text_encoder, settings.device))
        tensors |= {f"caption.{number}": states for number, states in enumerate(embeds)}
    save_file(tensors, target / "features.safetensors")
