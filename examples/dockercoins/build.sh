#!/bin/sh
# Builds the image `dockercoins` for the docker executor from this machine's own Python; nothing is downloaded.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"${PYTHON:-python3}" "$here/image.py" |
    docker import --change 'WORKDIR /' --change 'ENV PATH=/usr/local/bin' --change 'CMD ["python3"]' - dockercoins:latest
