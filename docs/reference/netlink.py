#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the reference of a generic netlink family, in reStructuredText, from its YAML specification."""

import sys
import textwrap

import yaml


def heading(text, mark):
    print(f"{text}\n{mark * len(text)}\n")


def paragraphs(doc, indent=""):
    print(textwrap.indent(doc.strip(), indent), end="\n\n")


def entries(definition):
    for entry in definition["entries"]:
        value = f" ({entry['value']})" if "value" in entry else ""
        print(f"``{entry['name']}``{value}\n    {entry['doc'].strip()}\n")


def attribute(one):
    limits = [f"{name} {value}" for name, value in one.get("checks", {}).items()]
    kind = ", ".join([one["type"]] + [f":ref:`{one[key]} <{one[key]}>`" for key in ("enum", "nested-attributes") if key in one]
                     + limits)
    print(f"``{one['name']}`` ({kind})")
    paragraphs(one.get("doc", "padding"), "    ")


def command(one):
    heading(one["name"], "~")
    paragraphs(one["doc"])
    print(f"Attributes of :ref:`{one['attribute-set']} <{one['attribute-set']}>`.\n" if "attribute-set" in one else "")
    for kind in ("do", "dump", "notify", "event"):
        if kind not in one:
            continue
        body = one[kind]
        if isinstance(body, str):
            print(f"{kind}\n    as {body}\n")
            continue
        parts = [body] if kind == "event" else [body.get("request"), body.get("reply")]
        names = ["has"] if kind == "event" else ["takes", "gives"]
        said = [f"{name} {', '.join(f'``{a}``' for a in part['attributes'])}"
                for name, part in zip(names, parts) if part and part.get("attributes")]
        flags = f" ({', '.join(one['flags'])})" if "flags" in one else ""
        print(f"{kind}{flags}\n    {'; '.join(said) or 'takes and gives nothing'}\n")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = yaml.safe_load(file)
    print(".. SPDX-License-Identifier: MIT\n")
    heading(f"The generic netlink family \"{spec['name']}\"", "=")
    paragraphs(spec["doc"])

    heading("Commands", "-")
    for one in spec["operations"]["list"]:
        command(one)
    heading("Sets of attributes", "-")
    for group in spec["attribute-sets"]:
        print(f".. _{group['name']}:\n")
        heading(group["name"], "~")
        paragraphs(group.get("doc", ""))
        for one in group["attributes"]:
            attribute(one)
    heading("Values", "-")
    for definition in spec["definitions"]:
        if "entries" not in definition:
            continue
        print(f".. _{definition['name']}:\n")
        heading(definition["name"], "~")
        paragraphs(definition.get("doc", ""))
        entries(definition)


main()
