"""Readers: one file a layout. Each lists the cases of a folder and a problem for every file that fits none."""

from parfocal.core.registry import Family

FAMILY = Family(
    "readers",
    {
        "dicom": "parfocal.readers.dicom:DicomReader",
        "dicom_axial": "parfocal.readers.dicom:AxialDicomReader",
        "dicom_coronal": "parfocal.readers.dicom:CoronalDicomReader",
        "dicom_sagittal": "parfocal.readers.dicom:SagittalDicomReader",
        "drishti": "parfocal.readers.drishti:DrishtiReader",
        "folder": "parfocal.readers.folder:FolderReader",
        "labelmap": "parfocal.readers.labelmap:LabelMapReader",
        "phantom": "parfocal.readers.phantom:PhantomReader",
        "rimone_dl": "parfocal.readers.rimone_dl:RimOneDlReader",
        "rimone_dl_hospital": "parfocal.readers.rimone_dl:ByHospitalReader",
        "rimone_r3": "parfocal.readers.rimone_r3:RimOneR3Reader",
        "rimone_r3_expert1": "parfocal.readers.rimone_r3:Expert1Reader",
        "rimone_r3_expert2": "parfocal.readers.rimone_r3:Expert2Reader",
        "volume": "parfocal.readers.volume:VolumeReader",
        "volume_axial": "parfocal.readers.volume:AxialVolumeReader",
        "volume_coronal": "parfocal.readers.volume:CoronalVolumeReader",
        "volume_sagittal": "parfocal.readers.volume:SagittalVolumeReader",
    },
)
