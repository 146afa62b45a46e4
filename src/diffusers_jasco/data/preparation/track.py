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
Prepares single tracks for a training set.

Each track gets a folder, `tracks/<id>/`, which appears only once it is complete. It contains clips of equal length as
FLAC (`000.flac`, ...), their drums (`000.drums.flac`), encoded clips (`features.safetensors`), and `track.json` with
metadata; or only `error.json` with the reason if the track is unusable. Existing folders are never prepared again, so
a killed run resumes with the track it was working on, and several processes and machines can share the work. In the
end, the tracks are assembled (`data/preparation/assembly.py`).
"""

import json
import math
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch
from transformers import PreTrainedTokenizerBase

from ...audio.stream import AudioStream
from ...codecs import Codec, load_codec
from ...text_encoders import encode_captions, load_text_encoder
from ..features import CLIP_VALUES, captions_of, encode_audio, encode_controls, encode_tempo, load_clip, prepare_audio
from ..output import OutputFolder
from ..sources import Source, read_captions, read_track_info
from ..tensor_files import TensorSpool
from .controls import cut_beats, cut_chords, cut_notes, track_beats, track_chords, track_drums, track_melody
from .settings import PreparationSettings, captions_table


TRACKS = "tracks"
# Drum stems with a lower level than this, in dB relative to the mix, are separation residue of music without drums.
DRUMLESS = -30.0


def find_track(output: OutputFolder, source: Source) -> str | None:
    """`"track.json"` or `"error.json"` if a track is done, otherwise `None`."""
    folder = posixpath.join(TRACKS, source.id)
    return next((name for name in ("track.json", "error.json") if output.exists(posixpath.join(folder, name))), None)


def prepare_track(source: Source, settings: PreparationSettings, output: OutputFolder) -> bool:
    r"""
    Prepares a track and writes its folder, unless the folder exists.

    Returns:
        `bool`: whether the track is usable. If not, `error.json` has the reason.

    Raises:
        `OSError`, `ImportError`: for errors that the track does not cause, such as a full disk or a missing package.
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
        # Use the track's name: the path may be temporary, or differ in another run.
        reason = str(error).replace(str(path), source.name) if "path" in locals() else str(error)
        with output.folder(folder, last="error.json") as target:
            (target / "error.json").write_text(_to_json({"path": source.name, "error": reason}), encoding="utf-8")
        return False


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _prepare(source: Source, path: Path, settings: PreparationSettings, target: Path) -> dict[str, Any]:
    with soundfile.SoundFile(path) as file:
        file_info = {
            "sampling_rate": file.samplerate,
            "channels": file.channels,
            "format": f"{file.format}/{file.subtype}",
        }
        tags = {key: value for key, value in file.copy_metadata().items() if value}
    stream = AudioStream(path, None, settings.sampling_rate)
    if stream.duration < settings.min_seconds:
        raise ValueError(
            f"{path} is too short: {stream.duration:.2f} s, but `min_seconds` is {settings.min_seconds:g} s."
        )
    num_clips = max(1, round(stream.duration / settings.clip_seconds))
    files = [f"{index:03d}.flac" for index in range(num_clips)]
    bounds = [round(round(stream.duration * stream.rate) * index / num_clips) for index in range(num_clips + 1)]
    lengths = [end - start for start, end in zip(bounds, bounds[1:])]
    energies = _write_clips(stream, lengths, [target / file for file in files], stream.rate)
    rms = math.sqrt(sum(energies) / max(sum(lengths), 1))

    chords, unknown = track_chords(source, path, settings)
    melody = track_melody(source, path, settings, stream.duration)
    beats = track_beats(source, path, settings)
    stems: list[str | None] = [None] * num_clips
    with track_drums(source, path, settings) as drums:
        if drums is not None:
            names = [f"{index:03d}.drums.flac" for index in range(num_clips)]
            stems = [*names]
            energies = _write_clips(drums, lengths, [target / name for name in names], settings.sampling_rate)
            for index, (length, energy) in enumerate(zip(lengths, energies)):
                if math.sqrt(energy / max(length, 1)) <= max(rms, 1e-6) * 10 ** (DRUMLESS / 20):
                    (target / names[index]).unlink()
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
                **cut_beats(beats, start, duration),
            }
        )
        start += duration
    track = {
        "path": source.name,
        **file_info,
        "duration": round(stream.duration, 6),
        "captions": read_captions(source, sidecar, tags, captions_table(settings.captions)),
        "title": track_info.get("title") or tags.get("title"),
        "artist": track_info.get("artist") or tags.get("artist"),
        "album": track_info.get("album") or tags.get("album"),
        "unknown_chords": dict(sorted(unknown.items())),
        "metadata": source.metadata,
        "clips": clips,
    }
    if settings.codec is not None:
        _encode(track, settings, target)
    return track


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """A file that soundfile can read: `path`, or a temporary file decoded by torchaudio (M4A, ...)."""
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
        raise ValueError(f"{reason}; decoding with torchaudio needs torchcodec).") from None
    # Decoders raise many types of exceptions.
    except Exception as error:
        raise ValueError(f"{reason}; torchaudio: {type(error).__name__}).") from error
    with TemporaryDirectory() as folder:
        decoded = Path(folder, f"{path.stem}.wav")
        soundfile.write(decoded, waveform.T.numpy(), rate, subtype="FLOAT")
        yield decoded


def _write_clips(blocks: Iterable[np.ndarray], lengths: list[int], files: list[Path], rate: int) -> list[float]:
    """Writes blocks of audio as clips of these lengths (in samples); returns the energy of each clip."""
    blocks, rest, energies = iter(blocks), np.zeros(0, dtype=np.float32), []
    for file, length in zip(files, lengths):
        energy, count = 0.0, 0
        with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format="FLAC") as clip:
            while count < length:
                if not len(rest):
                    # Resamplers and separators may return slightly fewer samples.
                    rest = next(blocks, np.zeros(length - count, dtype=np.float32))
                    continue
                samples, rest = rest[: length - count], rest[length - count :]
                clip.write(samples.clip(-1, 1))
                energy, count = energy + float((samples.astype(np.float64) ** 2).sum()), count + len(samples)
        energies.append(energy)
    return energies


@lru_cache(maxsize=1)
def _codec(path: str, device: str) -> Codec:
    return load_codec(path).to(device)


@lru_cache(maxsize=1)
def _text_encoder(name: str, device: str) -> tuple[PreTrainedTokenizerBase, torch.nn.Module]:
    tokenizer, text_encoder = load_text_encoder(name)
    return tokenizer, text_encoder.to(device)


def _encode(track: dict[str, Any], settings: PreparationSettings, target: Path):
    """Writes encoded clips as tensors `<clip>.<name>`, and encoded captions as `caption.<number>`."""
    codec, labels = _codec(settings.codec, settings.device), settings.labels
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    with TensorSpool() as tensors:
        for index, clip in enumerate(track["clips"]):
            item = prepare_audio(load_clip(clip, target), codec.config.sampling_rate)
            encoded = encode_audio([item], codec)[0]
            encoded |= encode_controls(item, len(encoded["latents"]), frame_rate, labels) | encode_tempo(item)
            for name, (dtype, default) in CLIP_VALUES.items():
                encoded[name] = torch.tensor(encoded.get(name, default), dtype=dtype)
            for name, values in encoded.items():
                tensors.append(f"{index:03d}.{name}", values)
        if settings.text_encoder is not None:
            embeds = encode_captions(captions_of(track), *_text_encoder(settings.text_encoder, settings.device))
            for number, states in enumerate(embeds):
                tensors.append(f"caption.{number}", states)
        tensors.save(target / "features.safetensors")
