"""The tiny towers over pictures, with the head of a classifier, or beside a tower of texts."""

import torch
from transformers import (
    BeitConfig, BeitForImageClassification, CLIPConfig, CLIPForImageClassification, CLIPModel, DeiTConfig, DeiTForImageClassification, Dinov2Config,
    Dinov2ForImageClassification, SiglipConfig, SiglipForImageClassification, SiglipModel, SwinConfig, SwinForImageClassification, ViTConfig,
    ViTForImageClassification,
)

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, layer_norm_eps=1e-3, patch_size=4, initializer_range=0.3, num_labels=3)

SWIN = dict(embed_dim=8, mlp_ratio=2, layer_norm_eps=1e-3, initializer_range=0.3, num_labels=3)

# The name ends with that of the task. Neither pictures nor patches of the first are square.
VISION = {
    "vit-image": (ViTForImageClassification, ViTConfig(**SIZES | dict(image_size=[8, 12], patch_size=[4, 3], intermediate_size=24))),
    "deit-image": (DeiTForImageClassification, DeiTConfig(**SIZES, image_size=8, intermediate_size=20, qkv_bias=False, hidden_act="relu")),
    "dinov2-image": (Dinov2ForImageClassification, Dinov2Config(**SIZES, image_size=12, mlp_ratio=2)),
    # Its pictures are larger in one direction and smaller in the other, and have a rest.
    "dinov2-other-image": (Dinov2ForImageClassification, Dinov2Config(**SIZES, image_size=16, mlp_ratio=2)),
    "beit-image": (BeitForImageClassification, BeitConfig(**SIZES, image_size=12, intermediate_size=24, use_relative_position_bias=True)),
    # One table for all blocks, positions, no factors, and the class's row.
    "beit-shared-image": (
        BeitForImageClassification,
        BeitConfig(
            **SIZES, image_size=8, intermediate_size=24, use_shared_relative_position_bias=True, use_absolute_position_embeddings=True, use_mean_pooling=False,
            layer_scale_init_value=0.0, use_mask_token=True,
        ),
    ),
    # Grids of 6 x 8, 3 x 4 and 2 x 2 patches: windows of 2 are moved over the first two, the second is filled up, and merging meets odd numbers of lines.
    "swin-image": (SwinForImageClassification, SwinConfig(**SWIN, depths=[2, 2, 1], num_heads=[2, 2, 4], image_size=[12, 24], patch_size=[2, 3], window_size=2)),
    # Windows that the grid of 5 x 5 is filled up to, no window moved in the second stage, positions, and other fields.
    "swin-other-image": (
        SwinForImageClassification,
        SwinConfig(
            **SWIN | dict(mlp_ratio=1.5), depths=[2, 2], num_heads=[1, 2], image_size=10, patch_size=2, window_size=3, use_absolute_embeddings=True, qkv_bias=False,
            hidden_act="relu",
        ),
    ),
}

BLOCKS = dict(projection_dim=10, num_hidden_layers=2, layer_norm_eps=1e-3, initializer_range=0.3)
TEXT = BLOCKS | dict(vocab_size=256, max_position_embeddings=24, hidden_size=12, intermediate_size=20, num_attention_heads=3)
PICTURE = BLOCKS | dict(hidden_size=16, intermediate_size=24, num_attention_heads=4, image_size=8, patch_size=4)

# The towers differ in all sizes. Configs of the first files name a wrong end of texts: that of the second is the largest id.
PAIRS = {
    "clip-pairs": (CLIPModel, CLIPConfig(text_config=TEXT | dict(bos_token_id=0, eos_token_id=9), vision_config=PICTURE, projection_dim=10)),
    "clip-first-pairs": (
        CLIPModel,
        CLIPConfig(
            text_config=TEXT | dict(bos_token_id=0, eos_token_id=2, hidden_act="gelu"), vision_config=PICTURE | dict(hidden_act="gelu_new"), projection_dim=10,
            logit_scale_init_value=1.5,
        ),
    ),
    # The width of both vectors is that of the pictures' tower.
    "siglip-pairs": (
        SiglipModel,
        SiglipConfig(text_config=TEXT | dict(bos_token_id=0, eos_token_id=9, projection_size=16), vision_config=PICTURE),
    ),
}

# Their towers of pictures alone, with a head.
VISION |= {
    "clip-image": (CLIPForImageClassification, CLIPConfig(text_config=TEXT | dict(bos_token_id=0, eos_token_id=9), vision_config=PICTURE, projection_dim=10, num_labels=3)),
    "siglip-image": (
        SiglipForImageClassification,
        SiglipConfig(text_config=TEXT | dict(bos_token_id=0, eos_token_id=9, projection_size=16), vision_config=PICTURE, num_labels=3),
    ),
}


def draw_pairs(name: str, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """Pictures and texts, each of which ends; the second one has an end within, of which the first counts."""
    config = PAIRS[name][1]
    text, picture = config.text_config, config.vision_config
    rows, length = 3, 12
    end = text.eos_token_id if text.eos_token_id != 2 else text.vocab_size - 1
    ids = torch.randint(10, text.vocab_size - 1, (rows, length), generator=draw)
    mask = torch.ones(rows, length)
    mask[1, 9:] = mask[2, :3] = 0
    ids[0, 11] = ids[1, 5] = ids[1, 8] = ids[2, 10] = end
    ids[mask == 0] = text.pad_token_id
    pixels = torch.randn(rows, 3, picture.image_size, picture.image_size, generator=draw)
    return {"input_ids": ids, "attention_mask": mask.long(), "pixel_values": pixels}


def picture_size(name: str) -> tuple[int, int]:
    if name == "dinov2-other-image":
        return 22, 11
    config = VISION[name][1]
    size = getattr(config, "vision_config", config).image_size
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)
