"""Reads functions and classes out of authors' repositories, to be run here."""

import ast
from pathlib import Path

import torch


def parts(file: Path, *names: str, **given: object) -> dict:
    """Functions and classes of a file, without the rest of it. A method alone, as a function, is `Class.method`."""
    tree = ast.parse(file.read_text())
    tree.body = [node for name, node in reached(tree.body, "") if name in names]
    space = dict(given)
    exec(compile(tree, file, "exec"), space)
    return space


def reached(body: list[ast.stmt], before: str) -> list[tuple[str, ast.stmt]]:
    """What is defined in a file, by its name."""
    own = [(f"{before}{node.name}", node) for node in body if hasattr(node, "name")]
    return own + [inner for name, node in own if isinstance(node, ast.ClassDef) for inner in reached(node.body, f"{name}.")]


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, by the largest value where that is above 1."""
    return (a - b).abs().max().item() / max(1.0, a.abs().max().item())
