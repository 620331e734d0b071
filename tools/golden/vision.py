"""The tiny towers over pictures, with the head of a classifier."""

from transformers import DeiTConfig, DeiTForImageClassification, Dinov2Config, Dinov2ForImageClassification, ViTConfig, ViTForImageClassification

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, layer_norm_eps=1e-3, patch_size=4, initializer_range=0.3, num_labels=3)

# The name ends with that of the task. Neither pictures nor patches of the first are square.
VISION = {
    "vit-image": (ViTForImageClassification, ViTConfig(**SIZES | dict(image_size=[8, 12], patch_size=[4, 3], intermediate_size=24))),
    "deit-image": (DeiTForImageClassification, DeiTConfig(**SIZES, image_size=8, intermediate_size=20, qkv_bias=False, hidden_act="relu")),
    "dinov2-image": (Dinov2ForImageClassification, Dinov2Config(**SIZES, image_size=12, mlp_ratio=2)),
    # Its pictures are larger in one direction and smaller in the other, and have a rest.
    "dinov2-other-image": (Dinov2ForImageClassification, Dinov2Config(**SIZES, image_size=16, mlp_ratio=2)),
}


def picture_size(name: str) -> tuple[int, int]:
    if name == "dinov2-other-image":
        return 22, 11
    size = VISION[name][1].image_size
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)
