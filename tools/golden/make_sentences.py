"""Records in data/sentences what sentence-transformers makes of texts: with a tiny BERT every pooling and loss, gradients of a LoRA adapter
of PEFT on it, and vectors with that adapter; with MiniLM the vectors of a few texts, where its folder is given.

Usage: python make_sentences.py [FOLDER OF all-MiniLM-L6-v2]
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from transformers import BertConfig, BertModel

from check_all import hashes
from common import DATA, save_tensors, shake, write_json
from families import BERT, draw_inputs
from peft_methods import shake_all, trainable
from versions import versions

OUT = DATA / "sentences"
POOLINGS = ("mean", "mean_sqrt_len_tokens", "cls", "lasttoken", "max")
ROWS, LENGTH = 6, 20
TEXTS = (
    "A ship sails over a calm sea.", "The boat crosses quiet water.", "Prices fell by three percent in March.", "whale",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.",
)


def draw_texts() -> dict[str, torch.Tensor]:
    """Rows of unlike lengths, padded on the right, one of them on the left."""
    inputs = draw_inputs("bert-sequence")
    draw = torch.Generator().manual_seed(7)
    ids = torch.randint(1, BERT["vocab_size"], (ROWS, LENGTH), generator=draw)
    mask = torch.ones(ROWS, LENGTH)
    mask[1, 14:] = mask[2, :5] = mask[4, 7:] = 0
    ids[mask == 0] = 0
    types = inputs["token_type_ids"][:1].repeat(ROWS, 1)
    return {"input_ids": ids, "attention_mask": mask.long(), "token_type_ids": types}


def pool(states: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    module = Pooling(states.shape[-1], pooling_mode=mode)
    return module({"token_embeddings": states, "attention_mask": mask})["sentence_embedding"]


def losses_of(vectors: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of pairs or triplets of rows that follow one another."""
    pairs, threes = [vectors[i::2] for i in range(2)], [vectors[i::3] for i in range(3)]
    of_pairs = labels[::2]
    none = None
    cosine = losses.TripletDistanceMetric.COSINE
    return {
        "multipleNegatives": losses.MultipleNegativesRankingLoss(none).compute_loss_from_embeddings(pairs, none),
        "multipleNegatives hard": losses.MultipleNegativesRankingLoss(none, scale=7.0).compute_loss_from_embeddings(threes, none),
        "triplets": losses.TripletLoss(none).compute_loss_from_embeddings(threes, none),
        "triplets cosine": losses.TripletLoss(none, cosine, 0.7).compute_loss_from_embeddings(threes, none),
        "cosineSimilarity": losses.CosineSimilarityLoss(none).compute_loss_from_embeddings(pairs, of_pairs),
        "contrastivePairs": losses.ContrastiveLoss(none).compute_loss_from_embeddings(pairs, (of_pairs > 0.5).float()),
        "contrastivePairs euclidean": losses.ContrastiveLoss(
            none, losses.SiameseDistanceMetric.EUCLIDEAN, 4.0
        ).compute_loss_from_embeddings(pairs, (of_pairs > 0.5).float()),
    }


def record_tiny() -> None:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**BERT)).eval()
    for parameter in model.parameters():
        shake(parameter, 0.3)
    folder = OUT / "tiny"
    model.save_pretrained(folder)
    write_json(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ], indent=2)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    inputs = draw_texts()
    labels = torch.rand(ROWS, generator=torch.Generator().manual_seed(9))
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, task_type="FEATURE_EXTRACTION")).eval()
    params = trainable(adapted)
    with adapted.disable_adapter(), torch.no_grad():
        states = adapted(**inputs).last_hidden_state
    mask = inputs["attention_mask"]
    golden = {name: t.float() if name == "attention_mask" else t.int() for name, t in inputs.items()}
    golden |= {"labels": labels, "states": states}
    golden |= {f"vectors {mode}": pool(states, mask, mode) for mode in POOLINGS}
    golden["normalized mean"] = torch.nn.functional.normalize(golden["vectors mean"], dim=-1)
    golden |= {f"loss {name}": t[None] for name, t in losses_of(golden["vectors mean"], labels).items()}
    torch.manual_seed(1)
    shake_all(params)
    adapted.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink(missing_ok=True)
    vectors = pool(adapted(**inputs).last_hidden_state, mask, "mean")
    golden["vectors adapted"] = vectors.detach().clone()
    losses_of(vectors, labels)["multipleNegatives"].backward()
    golden |= {f"gradient {n}": p.grad for n, p in params.items()}
    save_tensors(OUT / "golden.safetensors", golden)


@torch.no_grad()
def record_minilm(folder: str) -> None:
    """By the library itself: its tokenizer, its modules."""
    vectors = SentenceTransformer(folder, device="cpu").encode(list(TEXTS), convert_to_tensor=True)
    own = {file: digest for file, digest in hashes(Path(folder)).items() if file == "model.safetensors"}
    write_json(OUT / "minilm.json", {
        "versions": versions("sentence-transformers"), "base": own, "texts": TEXTS, "vectors": [[float(f"{v:.8g}") for v in row] for row in vectors.tolist()],
    })


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    record_tiny()
    if len(sys.argv) > 1:
        record_minilm(sys.argv[1])
