"""What the image of a remote machine is made of, and how such a machine starts."""

from __future__ import annotations

from tests.components.docker_recipes import PYTHON, Recipe

USER = "ada"
HOME = "/home/ada"
LARGE_FOLDER = "/var/lib/docker"
"""A volume: no overlay file system can lie on another one, as dockerd there would have it."""

MACHINE = Recipe(
    "ssh-machine",
    base=PYTHON,
    script=f"""
apt-get update -q
apt-get install -q -y --no-install-recommends openssh-server git docker.io iptables iproute2 procps rsync tcsh
rm -f /etc/ssh/ssh_host_*
groupadd --force docker
useradd --create-home --home-dir {HOME} --shell /bin/bash --groups docker {USER}
install -d -m 700 -o {USER} -g {USER} {HOME}/.ssh
install -d -m 755 /run/sshd
""",
)

SSHD = """\
Port 22
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
UsePAM no
PermitRootLogin no
PasswordAuthentication yes
AllowTcpForwarding yes
MaxStartups 100
PrintMotd no
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""

FIRST_PROCESS = r"""
import os, pathlib, subprocess, time, uuid
boot_id = pathlib.Path("/run/boot_id")
boot_id.write_text(f"{uuid.uuid4()}\n")
subprocess.call(["mount", "--bind", boot_id, "/proc/sys/kernel/random/boot_id"])
for pid in pathlib.Path("/run").glob("*.pid"):
    pid.unlink()
for kind in ("ed25519", "ecdsa"):
    file = f"/etc/ssh/ssh_host_{kind}_key"
    if not os.path.exists(file):
        subprocess.call(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file])
os.makedirs("/run/sshd", exist_ok=True)
while not os.path.exists("/etc/ssh/ready"):
    time.sleep(0.02)
subprocess.call(["/usr/sbin/sshd", "-E", "/var/log/sshd.log"])
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.2)
"""
"""What a machine's first process does: a boot id of its own (a container has its host's), sshd, and no zombies."""
