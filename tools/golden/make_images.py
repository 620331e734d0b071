"""What transformers' image processors make of small pictures, in data/io/images: the files, preprocessor_config.json of each case in cases.json, and the
pixels in pixels.safetensors. Those of the backend that resizes with Pillow.

Usage: python make_images.py
"""

import json

import numpy as np
import torch
from PIL import Image
from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from common import DATA, save_tensors

OUT = DATA / "io" / "images"
CLASSES = {"ViT": ViTImageProcessorPil, "DeiT": DeiTImageProcessorPil, "Beit": BeitImageProcessorPil, "CLIP": CLIPImageProcessorPil, "Siglip": SiglipImageProcessorPil}

# A file, the class of processors, and what its config says.
CASES = [
    ("rgb.png", "ViT", {"size": {"height": 24, "width": 60}}),
    ("rgb.png", "ViT", {"size": 20, "resample": 1, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}),
    ("rgb.png", "ViT", {"size": 17, "resample": 0, "do_normalize": False}),
    ("rgb.png", "ViT", {"size": 17, "resample": 4}),
    ("rgb.png", "ViT", {"size": 17, "resample": 5, "do_rescale": False, "do_normalize": False}),
    ("rgb16.png", "ViT", {"do_resize": False}),
    ("baseline.jpg", "DeiT", {"size": {"height": 40, "width": 33}, "crop_size": {"height": 25, "width": 20}}),
    ("progressive.jpg", "Beit", {"size": {"height": 13, "width": 70}}),
    ("baseline.jpg", "CLIP", {"size": {"shortest_edge": 30}, "crop_size": 28}),
    ("rgba.png", "CLIP", {"size": {"shortest_edge": 19}, "crop_size": {"height": 24, "width": 24}}),
    ("grey.png", "CLIP", {"size": 21, "crop_size": 25}),
    ("palette.png", "CLIP", {"size": {"shortest_edge": 40}, "crop_size": 22}),
    ("rgb16.png", "Siglip", {"size": {"height": 16, "width": 24}}),
]


def draw_pictures():
    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:37, 0:53]
    waves = np.stack([127 + 120 * np.sin(x / 5 + y / 9), 127 + 100 * np.cos(x / 3), (x * 4) % 256], -1)
    values = (waves + draw.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(values)
    picture.save(OUT / "rgb.png")
    picture.save(OUT / "baseline.jpg", quality=80)
    picture.save(OUT / "progressive.jpg", quality=90, progressive=True, subsampling=0)
    picture.convert("L").save(OUT / "grey.png")
    picture.quantize(16).save(OUT / "palette.png")
    opacity = ((x * 5 + y * 3) % 256).astype(np.uint8)
    opacity[:5] = 0
    opacity[5:9] = 255
    Image.fromarray(np.dstack([values, opacity])).save(OUT / "rgba.png")


def write_rgb16():
    """Pillow writes no pictures of three channels of 16 bits: this one is put together by hand."""
    import struct, zlib

    values = np.random.default_rng(1).integers(0, 65536, (19, 23, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 23, 19, 16, 2, 0, 0, 0)
    (OUT / "rgb16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    draw_pictures()
    write_rgb16()
    cases, pixels = [], {}
    for i, (file, name, fields) in enumerate(CASES):
        processor = CLASSES[name](**fields)
        pixels[f"{i}"] = torch.tensor(np.array(processor(Image.open(OUT / file), return_tensors="np")["pixel_values"][0], dtype=np.float32))
        cases.append({"file": file, "config": {"image_processor_type": f"{name}ImageProcessor"} | fields, "full": processor.to_dict()})
    save_tensors(OUT / "pixels.safetensors", pixels)
    (OUT / "cases.json").write_text(json.dumps(cases, separators=(",", ":"), default=str) + "\n")


main()
