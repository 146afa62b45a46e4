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

"""Clips whose audio is encoded during training."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import torch

from ..audio.recordings import Recording
from ..controls import null_value
from ..controls.chord_labels import NO_CHORD, UNKNOWN_CHORD, default_chord_labels, normalize_chord
from ..utils.seeding import derive_seed
from .features import SILENCE, ClipItems, captions_of, encode_controls, encode_tempo
from .remixing import remix_item
from .synthetic.music import SyntheticMusic


if TYPE_CHECKING:
    import datasets

# Audio context in seconds encoded on each side of a crop, so that its latents nearly match those of the whole clip.
CONTEXT_SECONDS = 2.0


class ClipReader:
    r"""
    Reads random crops of clips: the audio to be encoded and the controls of the same frames.

    Args:
        sampling_rate (`int`): the codec's rate in Hz.
        hop_length (`int`): the codec's samples per frame.
        num_frames (`int`): frames per crop.
        labels (`Sequence[str]`, *optional*): the model's chord vocabulary, by default AudioCraft's.
        seed (`int`, defaults to `0`): seed of the crops and of the choice of captions.
        remix (`float`, defaults to `0.0`): probability that the stems are remixed, see [`~data.remixing.remix_item`].
        vary_drums (`float`, defaults to `0.0`): probability that the drum control is varied.
    """

    def __init__(
        self,
        sampling_rate: int,
        hop_length: int,
        num_frames: int,
        labels: Sequence[str] | None = None,
        seed: int = 0,
        remix: float = 0.0,
        vary_drums: float = 0.0,
    ):
        self.sampling_rate = sampling_rate
        self.hop_length = hop_length
        self.num_frames = num_frames
        self.labels = default_chord_labels() if labels is None else list(labels)
        self.seed = seed
        self.remix, self.vary_drums = remix, vary_drums
        self.context = round(CONTEXT_SECONDS * sampling_rate / hop_length)

    def count_frames(self, recording: Recording) -> int:
        """Number of frames in a recording, including a last one that may be incomplete."""
        return -(-recording.length(self.sampling_rate) // self.hop_length)

    def read(self, row: dict[str, Any], epoch: int, item: int | str, folder: str | os.PathLike = "") -> dict[str, Any]:
        r"""
        Reads a random crop of a clip. The crop depends only on the seed, the epoch and the item.

        Args:
            row (`dict`):
                A clip with its audio in `audio` (`{"bytes", "path"}`, or a waveform with its `sampling_rate`) or
                `file_name`, its drums likewise in `drums` or `stems["drums"]`, other stems in `stems` (for remixes,
                which assume that the stems add up to the audio), and, where known, `chords` (`(label,
                start)` or `{"label", "start"}`), `melody` (`(pitch, start, end)` or `{"pitch", "start", "end"}`), `beats`,
                `downbeats`, `tempo`, `time_signature` or `beats_per_bar`, and `captions`, `caption` or `text`.
            epoch (`int`): the epoch.
            item (`int` or `str`): identifies the item within the dataset.
            folder (`str` or `os.PathLike`): base folder of relative paths.

        Returns:
            `dict`:
                `audio` `(1, samples)` at the codec's rate, with some context before and after the crop, `stems`
                (`{"drums": (1, samples)}` if there are drums) and `first_frame`, the crop's start within `audio` in
                frames; the controls and `caption` in the form that [`~data.features.to_training_item`] expects.

        Raises:
            `ValueError`: if the audio or a control can't be read, or the clip is shorter than a crop.
        """
        rate, hop = self.sampling_rate, self.hop_length
        audio, recordings = find_audio(row, folder), find_stems(row, folder)
        drums = recordings.get("drums")
        frames = self.count_frames(audio)
        if frames < self.num_frames:
            raise ValueError(f"{audio.name} has {frames} frames, fewer than `num_frames` = {self.num_frames}.")
        start = derive_seed("crop", self.seed, epoch, item) % (frames - self.num_frames + 1)
        end = start + self.num_frames
        first = max(start - self.context, 0)
        span = first * hop, min((end + self.context) * hop, audio.length(rate))

        stems = {}
        if drums is not None:
            stem = drums.read(*span, rate)
            # A crop may be silent in a clip that has drums.
            if stem.abs().max() > SILENCE or drums.read(0, drums.length(rate), rate).abs().max() > SILENCE:
                stems["drums"] = stem
        crop = row | {"audio": audio.read(*span, rate), "sampling_rate": rate, "stems": stems}
        if self.remix or self.vary_drums:
            others = {name: recordings[name].read(*span, rate) for name in recordings if name != "drums"}
            key, probabilities = (self.seed, epoch, item), (self.remix, self.vary_drums)
            crop = remix_item(crop | {"stems": others | stems}, key, *probabilities)
        controls = self._encode_controls(crop, frames, audio.name)
        captions = captions_of({"caption": row.get("text")} | row)
        return {
            "audio": crop["audio"],
            "stems": crop["stems"],
            "has_text": crop.get("has_text", True),
            "first_frame": start - first,
            **{name: values[start:end] for name, values in controls.items()},
            **encode_tempo(row),
            "caption": captions[derive_seed("caption", self.seed, epoch, item) % len(captions)],
        }

    def _encode_controls(self, row: dict[str, Any], frames: int, name: str) -> dict[str, torch.Tensor]:
        # N and X outside the vocabulary get ids past its end, which become the null chord below.
        labels = [*self.labels, *(label for label in (NO_CHORD, UNKNOWN_CHORD) if label not in self.labels)]
        null_chord = null_value("chords", self.labels)
        try:
            chords = _to_tuples(row.get("chords"), ("label", "start"))
            if chords is not None:
                chords = [(normalize_chord(label, labels)[0], start) for label, start in chords]
            melody = _to_tuples(row.get("melody"), ("pitch", "start", "end"))
            controls = encode_controls(
                row | {"chords": chords, "melody": melody}, frames, self.sampling_rate / self.hop_length, labels
            )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        ids = controls["chords"].long()
        return controls | {"chords": torch.where(ids < 0, null_chord, ids.clamp(max=null_chord))}


def _to_tuples(events: Any, names: tuple[str, ...]) -> list[tuple] | None:
    if events is None:
        return None
    tuples = []
    for event in events:
        values = [event.get(name) for name in names] if isinstance(event, dict) else event
        if not isinstance(values, (list, tuple)) or len(values) != len(names) or None in values:
            raise ValueError(f"({', '.join(names)}) is expected, not {str(event)[:50]}.")
        tuples.append(tuple(values))
    return tuples


def keep_encoded(
    dataset: Union["datasets.Dataset", "datasets.IterableDataset"],
) -> Union["datasets.Dataset", "datasets.IterableDataset"]:
    r"""
    Disables audio decoding in a dataset of the datasets library, so that only the audio that is used gets decoded.

    Raises:
        `ValueError`: if the dataset has no audio.
    """
    from datasets import Audio

    if "audio" not in (dataset.features or {}):
        raise ValueError(
            f"The dataset has to have a column `audio`, but has {', '.join(dataset.features or ['none'])}."
        )
    for name, feature in dataset.features.items():
        if isinstance(feature, Audio):
            dataset = dataset.cast_column(name, Audio(decode=False))
    return dataset


def find_audio(row: dict[str, Any], folder: str | os.PathLike = "") -> Recording:
    r"""
    The audio of a clip in the form that [`ClipReader.read`] expects.

    Raises:
        `ValueError`: if the clip has no audio.
    """
    value = row.get("file_name") if row.get("audio") is None else row["audio"]
    recording = _to_recording(value, row, folder)
    if recording is None:
        raise ValueError(f"A clip needs `audio` or `file_name`, but has {', '.join(row)}.")
    return recording


def find_stems(row: dict[str, Any], folder: str | os.PathLike = "") -> dict[str, Recording]:
    """The stems of a clip in the form that [`ClipReader.read`] expects, by name."""
    values = row.get("stems") or {}
    if row.get("drums") is not None:
        values = values | {"drums": row["drums"]}
    recordings = {name: _to_recording(value, row, folder) for name, value in values.items()}
    return {name: recording for name, recording in recordings.items() if recording is not None}


def _to_recording(value: Any, row: dict[str, Any], folder: str | os.PathLike) -> Recording | None:
    if isinstance(value, dict):
        name = value.get("path")
        if value.get("bytes") is not None:
            return Recording(value["bytes"], name)
        value = name
    if isinstance(value, (str, os.PathLike)):
        return Recording(value if "://" in str(value) else Path(folder, value))
    return None if value is None else Recording((value, row.get("sampling_rate")))


class ClipDataset(ClipItems):
    r"""
    Clips with audio. Only the crops that are used are read. [`BatchEncoder`] encodes its items to those of a
    [`~data.features.FeatureDataset`] of the same clips, with the same order, crops and captions.

    Args:
        rows (`datasets.Dataset`, [`SyntheticMusic`] or `Sequence[dict]`):
            The clips, in the form that [`ClipReader.read`] expects.
        sampling_rate (`int`): the codec's rate in Hz.
        hop_length (`int`): the codec's samples per frame.
        labels (`Sequence[str]`, *optional*): the model's chord vocabulary, by default AudioCraft's.
        num_frames (`int`, *optional*): frames per item, by default the length of the shortest clip.
        seed (`int`, defaults to `0`): seed of the crops and of the choice of captions.
        folder (`str` or `os.PathLike`, *optional*): base folder of relative paths in the rows.

    Raises:
        `ValueError`: if there are no clips, a clip has no audio, or a clip is shorter than `num_frames`.
    """

    def __init__(
        self,
        rows: Union["datasets.Dataset", SyntheticMusic, Sequence[dict[str, Any]]],
        sampling_rate: int,
        hop_length: int,
        labels: Sequence[str] | None = None,
        num_frames: int | None = None,
        seed: int = 0,
        folder: str | os.PathLike = "",
    ):
        super().__init__()
        self.rows = keep_encoded(rows) if hasattr(rows, "features") else rows
        self.folder = folder
        self.sampling_rate, self.hop_length = sampling_rate, hop_length
        reader = ClipReader(sampling_rate, hop_length, 0)
        self._lengths = [reader.count_frames(recording) for recording in self._recordings()]
        if not self._lengths:
            raise ValueError("There are no clips.")
        self.configure(labels, num_frames, seed)

    def configure(
        self,
        labels: Sequence[str] | None = None,
        num_frames: int | None = None,
        seed: int = 0,
        remix: float = 0.0,
        vary_drums: float = 0.0,
    ):
        """Replaces all options of the items without reading the files' lengths again."""
        self._divide(self._lengths, num_frames)
        options = labels, seed, remix, vary_drums
        self.reader = ClipReader(self.sampling_rate, self.hop_length, self.num_frames, *options)

    @property
    def _dataset(self) -> Optional["datasets.Dataset"]:
        return self.rows if hasattr(self.rows, "features") else None

    def _recordings(self) -> Iterator[Recording]:
        """The audio of all clips, for their lengths."""
        if isinstance(self.rows, SyntheticMusic):
            # All clips have the same length, so none has to be rendered.
            num_samples = round(self.rows.duration * self.rows.sampling_rate)
            yield from [Recording((torch.zeros(num_samples), self.rows.sampling_rate))] * len(self.rows)
        elif (dataset := self._dataset) is not None:
            import pyarrow

            # Zero-copy: only the headers of files on disk are read.
            for table in dataset.select_columns("audio").with_format("arrow").iter(batch_size=256):
                for audio in table["audio"]:
                    if audio.is_valid and audio["bytes"].is_valid:
                        yield Recording(pyarrow.BufferReader(audio["bytes"].as_buffer()), audio["path"].as_py())
                    else:
                        yield find_audio({"audio": audio.as_py()}, self.folder)
        else:
            yield from (find_audio(row, self.folder) for row in self.rows)

    @property
    def captions(self) -> Iterator[list[str]]:
        """The captions of each clip, without its audio."""
        if isinstance(self.rows, SyntheticMusic):
            return map(self.rows.captions, range(len(self.rows)))
        rows: Iterable[dict[str, Any]] = self.rows
        if (dataset := self._dataset) is not None:
            columns = [name for name in ("captions", "caption", "text") if name in dataset.column_names]
            # Selecting no columns would also drop the rows.
            rows = dataset.select_columns(columns) if columns else [{}] * len(dataset)
        return (captions_of({"caption": row.get("text")} | row) for row in rows)

    def item(self, index: int, epoch: int) -> dict[str, Any]:
        return self.reader.read(self.rows[self._clip_of[index]], epoch, index, self.folder)
