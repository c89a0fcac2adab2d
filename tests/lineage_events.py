"""Holds lineage events against the classes that OpenLineage generates from its specification.

    pip install openlineage-python==1.54.0
    python tests/lineage_events.py out/runs/*/lineage.ndjson

Every event is taken apart into the generated classes, which refuse unknown members, missing ones, and values of the wrong
form; each must then name the same schemas as they do.
"""
import importlib
import json
import pkgutil
import sys

import openlineage.client.generated as generated
from openlineage.client.generated import base

FACETS = {
    name: thing
    for module in pkgutil.iter_modules(generated.__path__)
    for name, thing in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).items()
    if name.endswith("Facet") and isinstance(thing, type)
}


def facets(found):
    made = {}
    for key, facet in (found or {}).items():
        kind = FACETS[facet["_schemaURL"].rsplit("/", 1)[1]]
        made[key] = kind(**{k: v for k, v in facet.items() if not k.startswith("_")})
        named, expected = facet["_schemaURL"], kind._get_schema()
        assert named == expected, f"{key} names {named}, and its class {expected}"
        assert facet["_producer"], f"{key} names no producer"
    return made


def dataset(kind, found, own):
    found = dict(found)
    return kind(**{own: facets(found.pop(own, None))}, **found)


def check(event):
    event = dict(event)
    schema = event.pop("schemaURL")
    run, job = event.pop("run"), event.pop("job")
    made = base.RunEvent(
        run=base.Run(runId=run["runId"], facets=facets(run["facets"])),
        job=base.Job(namespace=job["namespace"], name=job["name"], facets=facets(job["facets"])),
        eventType=base.EventType(event.pop("eventType")),
        inputs=[dataset(base.InputDataset, d, "inputFacets") for d in event.pop("inputs")],
        outputs=[dataset(base.OutputDataset, d, "outputFacets") for d in event.pop("outputs")],
        **event,
    )
    assert made.schemaURL == schema, f"the event names {schema}, and its class {made.schemaURL}"


def main():
    count = 0
    for path in sys.argv[1:]:
        for line in open(path, encoding="utf-8"):
            check(json.loads(line))
            count += 1
    print(f"{count} events are what the specification says")
    sys.exit(0 if count else "no events were given")


main()
