"""What the base images of the tests are made of: Debian alone, so that no image registry is needed."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass

RELEASE = "bookworm"
CERTIFICATES_IN_CONTAINER = "/tmp/certificates.crt"
_TRIM = """
apt-get clean
rm -rf /var/lib/apt/lists/* /tmp/* ~root/.cache
find /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale -type f -delete
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image of the tests: Debian packages, or another image and a shell script that runs in it as root."""

    name: str
    packages: tuple[str, ...] = ()
    base: Recipe | None = None
    script: str = ""

    @property
    def key(self) -> str:
        """Changes with all that the image is made of."""
        parts = [RELEASE, platform.machine(), *self.packages, self.script + _TRIM, self.base.key if self.base else ""]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    @property
    def image(self) -> str:
        return f"amltool-tests/{self.name}:{self.key}"

    @property
    def whole_script(self) -> str:
        return self.script + _TRIM


PYTHON = Recipe("python", packages=("ca-certificates", "python3", "python3-venv"))

SPARK = Recipe(
    "spark",
    base=PYTHON,
    script="""
apt-get update -q
apt-get install -q -y --no-install-recommends openjdk-17-jre-headless
""",
)

CONDA = Recipe(
    "conda",
    base=PYTHON,
    # The one conda that the package index has is of 2017: Python has since renamed what it imports. It knows only
    # packages of the form .tar.bz2, and asks a channel for repodata.json.bz2. Its default channels are not for tests.
    script="""
apt-get update -q
apt-get install -q -y --no-install-recommends python3-cytoolz python3-pycosat python3-requests python3-ruamel.yaml
python3 -m venv --system-site-packages /opt/conda
packages=$(/opt/conda/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat > "$packages/names_of_2017.py" <<'END'
import collections
import collections.abc
import platform

for name in collections.abc.__all__:
    setattr(collections, name, getattr(collections.abc, name))
platform.linux_distribution = lambda: ("debian", "12", "")
END
echo 'import names_of_2017' > "$packages/names_of_2017.pth"
echo 'conda==4.3.16 --hash=sha256:a91ef821343dea3ba9670f3d10b36c1ace4f4c36d70c175d8fc8886e94285953' > /tmp/conda.txt
/opt/conda/bin/python -m pip install --no-deps --no-build-isolation --require-hashes -r /tmp/conda.txt
sed -i 's/raise StopIteration$/return/' "$packages/conda/gateways/disk/read.py"  # PEP 479
cat > /opt/conda/bin/conda <<'END'
#!/opt/conda/bin/python
import sys

from conda.cli import main

sys.exit(main())
END
chmod +x /opt/conda/bin/conda
ln -s /opt/conda/bin/conda /usr/local/bin/conda
mkdir -p /opt/conda/conda-meta
touch /opt/conda/conda-meta/history
echo 'default_channels: []' > /opt/conda/.condarc
conda --version
""",
)
