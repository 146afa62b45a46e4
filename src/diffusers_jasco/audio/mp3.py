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

"""Length of MP3 files. libsndfile estimates it if the header does not state it, and stops reading at its estimate."""

from typing import BinaryIO


_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by version
# kbit/s by (version 1, layer)
_BIT_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_CHUNK = 1 << 20  # bytes
_MAX_TAGS = 100
_PADDING = 1 << 16  # bytes
_HEADER = 4  # bytes
_SEARCH = 1 << 16  # bytes
_CONSECUTIVE = 4  # frames; random bytes do not contain this many in a row
_HEADER_REACH = 200  # bytes from the start of the first frame
_TOLERANCE = 0.02  # relative to the size in the header, because of tags at the end
_MAX_FRAMES = 2**31 - 1


def skip_id3(file: BinaryIO) -> int:
    """
    The size in bytes of the ID3 tags at the beginning of a file, including zero padding after them; 0 without tags.
    """
    end = 0
    for _ in range(_MAX_TAGS):
        file.seek(end)
        size = _tag_size(file.read(10))
        end += size
        if not size:
            break
    if end:
        file.seek(end)
        while block := file.read(_PADDING):
            zeros = len(block) - len(block.lstrip(b"\0"))
            end += zeros
            if zeros < len(block):
                break
    return end


def _tag_size(head: bytes) -> int:
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 16 else 0)


def find_mp3_frames(file: BinaryIO, start: int = 0) -> int | None:
    """The position of the first consecutive MPEG frames. Recordings of streams have other bytes before them."""
    file.seek(start)
    data = file.read(_SEARCH)
    position = data.find(b"\xff")
    while 0 <= position:
        if _has_frames(data, position):
            return start + position
        position = data.find(b"\xff", position + 1)
    return None


def _has_frames(data: bytes, position: int) -> bool:
    kind = None
    for _ in range(_CONSECUTIVE):
        header = data[position : position + _HEADER]
        frame = _parse_frame(header) if len(header) == _HEADER else None
        if frame is None or kind not in (None, frame[2:]):
            return False
        kind = frame[2:]
        position += frame[0]
    return True


def measure_mp3(file: BinaryIO, size: int) -> tuple[int | None, int | None]:
    r"""
    Determines the length of an MP3 file. Its frames are counted unless its header (Xing, Info or VBRI) matches its
    size.

    Args:
        file (`BinaryIO`): the file.
        size (`int`): its size in bytes.

    Returns:
        `tuple[int | None, int | None]`: the counted samples per channel, or `None` if the header matches the size; and
            the samples per channel that the header claims, or `None` if it does not state them.
    """
    start = skip_id3(file)
    start = find_mp3_frames(file, start) or start
    file.seek(start)
    samples, num_bytes = _read_claim(file.read(_HEADER_REACH))
    if samples and num_bytes and (1 - _TOLERANCE) * num_bytes <= size - start <= (1 + _TOLERANCE) * num_bytes:
        return None, samples
    return _count_samples(file, start), samples


def _count_samples(file: BinaryIO, start: int) -> int:
    file.seek(start)
    data, position, samples, kind = b"", 0, 0, None
    while True:
        if position + _HEADER > len(data):
            position -= len(data)
            if position > 0:
                file.seek(position, 1)
            data, position = data[position:] if position < 0 else b"", 0
            chunk = file.read(_CHUNK)
            if not chunk:
                return samples
            data += chunk
            continue
        frame = _parse_frame(data[position : position + _HEADER])
        # Bytes within frames may look like headers, so require the same version, layer and rate.
        if frame is not None and kind in (None, frame[2:]):
            samples, kind = samples + frame[1], frame[2:]
            position += frame[0]
        else:
            position = data.find(b"\xff", position + 1)
            position = len(data) if position < 0 else position


def _read_claim(head: bytes) -> tuple[int | None, int | None]:
    """The numbers of samples and of bytes that the first frame claims; `None` for each one that it does not state."""
    frame = _parse_frame(head[:_HEADER]) if len(head) >= _HEADER else None
    frames = num_bytes = 0
    if (place := max(head.find(b"Xing"), head.find(b"Info"))) >= 0 and len(head) >= place + 16:
        has_frames, has_bytes = head[place + 7] & 1, head[place + 7] & 2
        field = place + 8 + 4 * has_frames
        frames = int.from_bytes(head[place + 8 : field], "big")
        num_bytes = int.from_bytes(head[field : field + 4], "big") if has_bytes else 0
    elif (place := head.find(b"VBRI")) >= 0 and len(head) >= place + 18:
        num_bytes = int.from_bytes(head[place + 10 : place + 14], "big")
        frames = int.from_bytes(head[place + 14 : place + 18], "big")
    # Streaming encoders that do not know the length write 0 or -1.
    known = frame is not None and 0 < frames < _MAX_FRAMES
    return frames * frame[1] if known and frame is not None else None, num_bytes or None


def _parse_frame(header: bytes) -> tuple[int, int, int, int, int] | None:
    """The bytes, samples, version, layer and sampling rate of a frame; `None` if the bytes are not a frame header."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, rates = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rates == 3:
        return None
    rate, bit_rate = _RATES[version][rates], 1000 * _BIT_RATES[version == 3, layer][bits]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bit_rate // rate + padding), 384, version, layer, rate
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bit_rate // rate + padding, samples, version, layer, rate
