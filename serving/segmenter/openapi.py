"""/openapi.json: the routes of this service, from the types of `schemas.py` and the limits of its settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from parfocal_serving.segmenter import forms, schemas
from parfocal_serving.segmenter.settings import SegmenterSettings
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from parfocal import __version__
from parfocal.core.observations import LONGEST

PLACE = "#/components/schemas/{model}"
_PROBLEMS = {
    400: "the content",
    404: "the case is not remembered here",
    408: "the upload comes too slowly",
    413: "too many bytes or pixels",
    415: "another type",
    429: "too many requests at once",
    500: "a bug",
    501: "nothing here answers clicks",
    503: "no model yet",
    504: "too late",
}
_LATER = (429, 503, 504)


def document(settings: SegmenterSettings) -> dict[str, Any]:
    """OpenAPI 3.1."""
    _, components = models_json_schema(
        [(model, "serialization") for model in schemas.ANSWERS] + [(forms.OneClick, "validation")], ref_template=PLACE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parfocal segmenter",
            "version": __version__,
            "description": f"Answers pictures of the task {settings.task} with masks.",
        },
        "paths": {
            "/segment": {"post": _segment()},
            "/refine": {"post": _refine()},
            "/instruments": {"get": _instruments()},
            "/models": {"get": _operation("models", "Who answers", schemas.Models, ())},
        },
        "components": {"schemas": components["$defs"]},
    }


def _segment() -> dict[str, Any]:
    fields = {
        "image": _file(
            "a JPEG, PNG, TIFF, DICOM or NIfTI file, as the champion's recipe takes it; up to "
            f"{forms.MOST_PICTURES} such parts make a batch"
        ),
        "instrument": _name("device and site that took the picture"),
        "task": _name("of several that the service answers for; left out: the first, or the address's `task`"),
        "patient": _name("whose eye it is; leaves the service as an HMAC alone"),
        "masks": {**_MASKS, "enum": [*forms.MASKS, forms.DICOM_SEG]},
        "spacing": _SPACING,
        "eye": {
            "type": "string", "enum": list(forms.EYES), "description": "which eye; left out: a DICOM file's laterality"
        },
        "slice": {"type": "integer", "minimum": 0, "description": "of a NIfTI volume, from 0 in its plane"},
        "plane": {
            "type": "string", "enum": list(forms.PLANES), "default": forms.PLANES[0],
            "description": "of a NIfTI volume; acquired: across its thickest spacing",
        },
        "observe": {
            "type": "string", "enum": ["yes", "no"], "default": "yes",
            "description": "no, for who labels pictures alone: nothing is kept of the request or told to the monitor",
        },
    }  # fmt: skip
    found = _operation("segment", "Masks of a picture", schemas.Segmentation, (400, 408, 413, 415, 429, 500, 503, 504))
    found["responses"]["200"]["content"] = {
        "application/json": {
            "schema": {"anyOf": [{"$ref": PLACE.format(model=name)} for name in ("Segmentation", "Batch")]}
        },
        "application/dicom": {"schema": {"type": "string", "contentMediaType": "application/dicom"}},
    }
    return found | {"requestBody": _form(fields, ["image"])}


def _refine() -> dict[str, Any]:
    fields = {
        "image": _file("a picture as for /segment; this or `case`"),
        "case": _name("`request_id` of /segment or `case` of /refine: a picture that was sent a moment ago"),
        "structure": _name("what is clicked; may be left out where the model answers for one alone"),
        "clicks": {
            "type": "string",  # a part of a form is a text: as an array, clients would send a part a click
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "array",
                "items": {"$ref": PLACE.format(model="OneClick")},
                "maxItems": forms.MOST_CLICKS,
            },
            "maxLength": forms.CLICK_FIELD,
            "description": "every click so far, as JSON; none gives what the network draws by itself",
        },
        "previous": _file("the answer so far, or what a person made of it: a grey PNG of the picture's size"),
        "outer": _file("the mask of the structure round it; left out: the champion's"),
        "instrument": _name("as for /segment; goes with `image`"),
        "task": _name("as for /segment"),
        "masks": _MASKS,
        "spacing": _SPACING,
    }
    answers = _operation(
        "refine", "A mask by clicks", schemas.Refinement, (400, 404, 408, 413, 415, 429, 500, 501, 503, 504)
    )
    body = _form(fields, [])
    body["content"]["multipart/form-data"]["encoding"] = {"clicks": {"contentType": "application/json"}}
    return answers | {"requestBody": body}


def _instruments() -> dict[str, Any]:
    parameter = {
        "name": "name",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "maxLength": LONGEST},
        "description": "an instrument; the answer then says in `asked` how its pictures would be answered",
    }
    task = {
        **parameter,
        "name": "task",
        "description": "its champion alone; left out: the first task's, and the other tasks' in `others`",
    }
    return _operation("instruments", "What the champion knows", schemas.Instruments, (400, 500, 503, 504)) | {
        "parameters": [parameter, task]
    }


def _operation(name: str, summary: str, answer: type[BaseModel], statuses: Iterable[int]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": summary, "content": _json(answer)}}
    for status in statuses:
        responses[str(status)] = {"description": _PROBLEMS[status], "content": _json(schemas.Problem)}
        if status in _LATER:
            responses[str(status)]["headers"] = {
                "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
            }
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": PLACE.format(model=model.__name__)}}}


def _form(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if required:
        schema["required"] = required
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _file(description: str) -> dict[str, Any]:
    # `format` is OpenAPI 3.0's word for a file, by which programs that make clients know one.
    binary = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    return {**binary, "description": description}


def _name(description: str) -> dict[str, Any]:
    return {"type": "string", "maxLength": LONGEST, "description": description}


_MASKS = {
    "type": "string",
    "enum": list(forms.MASKS),
    "default": forms.MASKS[0],
    "description": "how masks are written",
}
_SPACING = {
    "type": "string",
    "description": "millimetres of a row and of a column of pixels, such as 0.01,0.01; left out: a DICOM file's",
}
