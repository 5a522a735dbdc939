"""Readers: one file a layout. Each lists the cases of a folder and a problem for every file that fits none."""

from parfocal.core.registry import Family

FAMILY = Family(
    "readers",
    {
        "folder": "parfocal.readers.folder:FolderReader",
        "phantom": "parfocal.readers.phantom:PhantomReader",
    },
)
