"""Measures of predictions by scikit-learn, scipy, seqeval, rouge_score and sacrebleu, in data/metrics.json: what they are given, and what they give.

Usage: python make_metrics.py (pip install scikit-learn==1.9.1 scipy==1.17.1 seqeval==1.2.2 rouge_score==0.1.2 sacrebleu==2.6.0)
"""

import json
import re
import string
import warnings
from collections import Counter
from pathlib import Path

import numpy
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import accuracy_score as tag_accuracy
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score, recall_score
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

random = numpy.random.default_rng(7)
warnings.simplefilter("ignore")


def classes(count: int, rows: int, right: float, seen: int | None = None) -> dict:
    wanted = random.integers(0, count, rows)
    other = random.integers(0, seen or count, rows)
    predicted = numpy.where(random.random(rows) < right, wanted, other)
    averages = ["macro", "micro", "weighted"] + (["binary"] if count == 2 else [])
    return {
        "predicted": predicted.tolist(),
        "wanted": wanted.tolist(),
        "accuracy": accuracy_score(wanted, predicted),
        "f1": {a: f1_score(wanted, predicted, average=a, zero_division=0) for a in averages},
        "mcc": matthews_corrcoef(wanted, predicted),
    }


def sets(labels: int, rows: int) -> dict:
    wanted = (random.random((rows, labels)) < 0.3).astype(int)
    predicted = numpy.where(random.random((rows, labels)) < 0.7, wanted, 1 - wanted)
    return {
        "predicted": predicted.tolist(),
        "wanted": wanted.tolist(),
        "accuracy": accuracy_score(wanted, predicted),
        "f1": {a: f1_score(wanted, predicted, average=a, zero_division=0) for a in ["macro", "micro", "weighted"]},
    }


def numbers(rows: int, ties: bool) -> dict:
    wanted = random.normal(size=rows)
    predicted = wanted + random.normal(size=rows)
    if ties:
        wanted, predicted = wanted.round(0), predicted.round(1)
    return {
        "predicted": predicted.tolist(),
        "wanted": wanted.tolist(),
        "pearson": pearsonr(predicted, wanted).statistic,
        "spearman": spearmanr(predicted, wanted).statistic,
    }


def tags(kinds: str, types: list[str], rows: int) -> dict:
    known = ["O"] + [f"{k}-{t}" if t else k for k in kinds for t in types]

    def row(length: int) -> list[str]:
        return [str(random.choice(known)) if random.random() < 0.7 else "O" for _ in range(length)]

    wanted = [row(int(random.integers(0, 9))) for _ in range(rows)]
    predicted = [[t if random.random() < 0.7 else str(random.choice(known)) for t in r] for r in wanted]
    return {
        "predicted": predicted,
        "wanted": wanted,
        "precision": float(precision_score(wanted, predicted)),
        "recall": float(recall_score(wanted, predicted)),
        "f1": float(entity_f1(wanted, predicted)),
        "accuracy": float(tag_accuracy(wanted, predicted)),
    }


WORDS = "the a cat dog sat on mat, and. then ran-away! 3.5 1,000 don't U.S. (quickly) &amp; &quot;yes&quot; naïve 日本 new-\nline x-1 2-3 ...".split(" ")


def text(length: int) -> str:
    return " ".join(random.choice(WORDS, length)) if length else ""


def changed(given: str) -> str:
    words = given.split(" ")
    kept = [w if random.random() < 0.75 else str(random.choice(WORDS)) for w in words if random.random() < 0.9]
    return " ".join(kept)


def normalized(answer: str) -> str:
    """By SQuAD's evaluation of version 1.1: lower case, without punctuation, articles and further spaces."""
    plain = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def answer_f1(given: str, right: str) -> float:
    a, b = normalized(given).split(), normalized(right).split()
    same = sum((Counter(a) & Counter(b)).values())
    return 2 * same / (len(a) + len(b)) if same else 0.0


def texts(rows: int, lengths: tuple[int, int], references: int) -> dict:
    wanted = [[text(int(random.integers(*lengths))) for _ in range(references)] for _ in range(rows)]
    predicted = [changed(row[0]) if random.random() < 0.9 else row[-1] for row in wanted]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score_multi(w, p) for p, w in zip(predicted, wanted)]
    best = [max((normalized(p) == normalized(r)) for r in w) for p, w in zip(predicted, wanted)]
    return {
        "predicted": predicted,
        "wanted": wanted,
        "rouge": {k: float(numpy.mean([s[k].fmeasure for s in scores])) for k in ["rouge1", "rouge2", "rougeL"]},
        "bleu": sacrebleu.corpus_bleu(predicted, [list(c) for c in zip(*wanted)]).score,
        "exactMatch": float(numpy.mean(best)),
        "f1": float(numpy.mean([max(answer_f1(p, r) for r in w) for p, w in zip(predicted, wanted)])),
    }


def main() -> None:
    found = {
        "classes": [classes(2, 40, 0.7), classes(5, 60, 0.5), classes(4, 30, 0.3, seen=2), classes(2, 6, 1.0)],
        "sets": [sets(4, 25)],
        "numbers": [numbers(30, False), numbers(30, True)],
        "tags": [tags("BI", ["PER", "LOC"], 30), tags("BIES", ["A", "B-C"], 40), tags("BI", [""], 10)],
        "texts": [texts(12, (5, 25), 1), texts(10, (1, 12), 3), texts(4, (1, 3), 1), texts(6, (3, 9), 2)],
    }
    lines = [f'"{name}": [\n' + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]" for name, cases in found.items()]
    (Path(__file__).parent / "data" / "metrics.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
