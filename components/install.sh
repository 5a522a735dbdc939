#!/bin/sh
# Install what the steps depend on into /opt/parfocal, with a list of it all (CycloneDX). $1: where PyTorch's wheels are.
# torch comes first and alone, from the one index that has it for this target: the pins then keep it as it is.
set -eu
/opt/parfocal/bin/pip install --quiet --no-cache-dir -c constraints.txt --extra-index-url "$1" -r torch.txt
/opt/parfocal/bin/pip install --quiet --no-cache-dir -c constraints.txt '.[platform,volume,monai,crf,onnx]'
/opt/parfocal/bin/pip check
/build/bin/cyclonedx-py environment --output-reproducible --output-file /opt/parfocal/sbom.cdx.json /opt/parfocal/bin/python
/opt/parfocal/bin/pip uninstall --quiet --yes parfocal
