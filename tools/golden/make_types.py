"""The types of Hugging Face PEFT with the fields of their configurations and what LoRA may begin with, in data/io/peft-types.json.

A new version shows what is new by the difference. Usage: python make_types.py
"""

import dataclasses
import typing

import peft
from peft import LoraConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.peft_types import PeftType, TaskType

from common import DATA, write_json

PLAIN = (bool, int, float, str, type(None))


def default(field: dataclasses.Field) -> object:
    value = field.default_factory() if callable(field.default_factory) else field.default
    return value if isinstance(value, PLAIN) and not isinstance(value, (PeftType, TaskType)) else None


def words(hint: object) -> list[str]:
    if typing.get_origin(hint) is typing.Literal:
        return [value for value in typing.get_args(hint) if isinstance(value, str)]
    return [word for part in typing.get_args(hint) for word in words(part)]


def main() -> None:
    types = {
        kind.value: {field.name: default(field) for field in dataclasses.fields(config)}
        for kind, config in sorted(PEFT_TYPE_TO_CONFIG_MAPPING.items())
    }
    missing = [kind.value for kind in PeftType if kind.value not in types]
    starts = words(typing.get_type_hints(LoraConfig)["init_lora_weights"])
    record = {"version": peft.__version__, "without configuration": missing, "types": types, "init_lora_weights": starts}
    write_json(DATA / "io" / "peft-types.json", record, indent=1)


if __name__ == "__main__":
    main()
