"""Compute targets in every form they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.configuration.compute import (
    ComputeTarget,
    ComputeType,
    PipSettings,
    YarnDeployMode,
    read_compute,
    write_compute,
)
from amltool.configuration.secrets import SecretKind, SecretReference
from amltool.errors import ConfigurationError

PATH = "aml_config/gpu.compute"


def read(text: str) -> ComputeTarget:
    return read_compute("gpu", text.encode(), PATH)


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return [str(mistake) for mistake in caught.value.mistakes]


ATTACHED = """\
address: vm.example.org
baseDockerImage: microsoft/mmlspark:plus-0.9.9
nativeSharedDirectory: ~/.azureml/share/
password: AzureMlSecret=gpu#ada#0123456789abcdef0123456789abcdef
sharedVolumes: true
type: remotedocker
userManagedEnvironment: false
username: ada
"""


def test_what_attach_remotedocker_wrote_is_read_and_written_back_letter_for_letter() -> None:
    target = read(ATTACHED)

    assert (target.type, target.address, target.port, target.username) == (
        ComputeType.REMOTE_DOCKER,
        "vm.example.org",
        22,
        "ada",
    )
    assert target.password == SecretReference(SecretKind.CREDENTIAL_SERVICE, "gpu#ada#0123456789abcdef0123456789abcdef")
    assert target.base_docker_image == "microsoft/mmlspark:plus-0.9.9"
    assert "password is a reference into the credential service" in target.warnings[0]
    assert write_compute(target) == ATTACHED


def test_what_attach_cluster_wrote_is_read_and_written_back_letter_for_letter() -> None:
    written = (
        "address: spark-ssh.azurehdinsight.net\npassword: ${env:CLUSTER_PASSWORD}\ntype: cluster\n"
        "userManagedEnvironment: false\nusername: sshuser\nyarnDeployMode: cluster\n"
    )
    target = read(written)

    assert target.yarn_deploy_mode is YarnDeployMode.CLUSTER
    assert target.warnings == ()
    assert write_compute(target) == written


def test_the_templates_of_blank_projects_are_read() -> None:
    local = read(
        'type: "local"\npythonLocation: "python"\nsparkSubmitLocation: "spark-submit"\n'
        'nativeSharedDirectory: "~/.azureml/share"\n'
    )
    docker = read('type: "localdocker"\nbaseDockerImage: "microsoft/mmlspark:0.7"\nsharedVolumes: false\n')

    assert (local.type, local.native_shared_directory) == (ComputeType.LOCAL, "~/.azureml/share")
    assert (docker.type, docker.shared_volumes, docker.in_container) == (ComputeType.LOCAL_DOCKER, False, True)


@pytest.mark.parametrize(
    ("text", "of_type"),
    [
        ('{"native": true, "pythonLocation": "python"}', ComputeType.LOCAL),
        ('{"native": true, "address": "vm", "username": "ada"}', ComputeType.REMOTE),
        ('{"cluster": true, "address": "c-ssh.azurehdinsight.net", "username": "sshuser"}', ComputeType.CLUSTER),
        ('{"cluster": false, "native": false, "baseDockerImage": "a:1"}', ComputeType.LOCAL_DOCKER),
        ('{"baseDockerImage": "a:1"}', ComputeType.LOCAL_DOCKER),
        ('{\n\t"address": "vm",\n\t"username": "ada",\n\t"native": false\n}', ComputeType.REMOTE_DOCKER),
        ("cluster: True\naddress: c-ssh.azurehdinsight.net\nusername: sshuser\n", ComputeType.CLUSTER),
        ("type: docker\n", ComputeType.LOCAL_DOCKER),
        ("type: virtualmachine\naddress: vm\nusername: ada\n", ComputeType.REMOTE),
        ("type: local\ncluster: true\n", ComputeType.LOCAL),
    ],
)
def test_older_forms_say_their_type_in_other_ways(text: str, of_type: ComputeType) -> None:
    assert read(text).type is of_type


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("vm.example.org", "vm.example.org", 22),
        ("vm.example.org:2222", "vm.example.org", 2222),
        ("10.0.0.4:22", "10.0.0.4", 22),
        ("'[fe80::1%eth0]:2222'", "fe80::1%eth0", 2222),
        ("'2001:db8::1'", "2001:db8::1", 22),
    ],
)
def test_an_address_may_carry_a_port(address: str, host: str, port: int) -> None:
    target = read(f"type: remote\naddress: {address}\nusername: ada\n")

    assert (target.address, target.port) == (host, port)
    assert read(write_compute(target)) == target


def test_a_port_of_its_own_is_taken_unless_it_contradicts_the_address() -> None:
    assert read("type: remote\naddress: vm\nport: 2222\nusername: ada\n").port == 2222
    assert "keep one of them" in mistakes_of("type: remote\naddress: vm:23\nport: 22\nusername: ada\n")[0]


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=evil",
        "vm:port",
        "vm:0",
        "vm:70000",
        "a b",
        "ssh://vm",
        "ada:hunter2@vm",
        "'[::1'",
        "vm/x",
        "$(id)",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(address: str) -> None:
    (mistake,) = mistakes_of(f"type: remote\naddress: {address}\nusername: ada\n")

    assert mistake.startswith(f"{PATH}:2:10: address: expected a host name or IP address")
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    "address", ["spark.azurehdinsight.net", "https://spark.azurehdinsight.net", "spark.azurehdinsight.net:22"]
)
def test_the_address_of_hdinsights_web_page_is_put_right(address: str) -> None:
    (mistake,) = mistakes_of(f"type: cluster\naddress: {address}\nusername: sshuser\n")

    assert "expected the cluster's SSH address, spark-ssh.azurehdinsight.net" in mistake


def test_hdinsights_web_user_is_warned_about() -> None:
    target = read("type: cluster\naddress: spark-ssh.azurehdinsight.net\nusername: admin\n")

    assert "'sshuser'" in target.warnings[0]


@pytest.mark.parametrize("gone", ["batchai", "containerinstance", "amlcompute"])
def test_a_service_that_is_gone_is_explained(gone: str) -> None:
    (mistake,) = mistakes_of(f"type: {gone}\n")

    assert f"'{gone}' was a service of Azure ML that amltool does not have; use remote or remotedocker" in mistake


def test_all_mistakes_of_a_file_are_told_at_once_by_line() -> None:
    text = (
        "type: remotedockr\npassword: hunter2\nusername: a b\nadress: vm\nsharedVolumes: true.\nport: 99999\n"
        "gpu: [1]\nyarnDeployMode: clustr\npip: {indexURL: x, foo: y}\n"
    )
    kinds = "local, localdocker, remotedocker, remote or cluster"

    assert mistakes_of(text) == [
        f"{PATH}:1:7: type: expected {kinds}, found 'remotedockr' (did you mean 'remotedocker'?)",
        f"{PATH}:2:11: password is plain text: write ${{env:NAME}} or ${{keyring:service/user}} in its place",
        f"{PATH}:4:1: unknown key 'adress': did you mean 'address'?",
        f"{PATH}:5:16: sharedVolumes: expected true or false, found 'true.' (did you mean 'true'?)",
        f"{PATH}:6:7: port: expected a whole number from 1 to 65535, found '99999'",
        f"{PATH}:7:6: gpu: expected true, all, a number of GPUs or device=0,1; found a list",
        f"{PATH}:8:17: yarnDeployMode: expected cluster or client, found 'clustr' (did you mean 'cluster'?)",
        f"{PATH}:9:7: unknown key 'indexURL': did you mean 'indexUrl'?",
        f"{PATH}:9:20: unknown key 'foo'; known are configurationFile, extraIndexUrls, indexUrl, trustedHosts",
    ]


@pytest.mark.parametrize("of_type", ["remote", "remotedocker", "cluster"])
def test_a_target_over_ssh_needs_address_and_user(of_type: str) -> None:
    mistakes = mistakes_of(f"type: {of_type}\nadress: vm\n")

    assert any("address is missing: 'adress' is another key" in mistake for mistake in mistakes)
    assert any("username is missing" in mistake for mistake in mistakes)


@pytest.mark.parametrize("text", ["", "port: 22\n", "username: ada\n"])
def test_a_file_that_says_no_type_is_a_mistake(text: str) -> None:
    assert "type is missing: expected local, localdocker" in mistakes_of(text)[0]


@pytest.mark.parametrize("password", ["", "''", "null"])
def test_a_password_may_be_empty(password: str) -> None:
    assert read(f"type: remote\naddress: vm\nusername: ada\npassword: {password}\n").password is None


@pytest.mark.parametrize("password", ["hunter2", "'12345'", "${env:}", "{a: hunter2}", "[hunter2]"])
def test_a_password_in_plain_text_is_refused_and_never_repeated(password: str) -> None:
    (mistake,) = mistakes_of(f"type: remote\naddress: vm\nusername: ada\npassword: {password}\n")

    assert mistake.startswith(f"{PATH}:4:11: password")
    assert "hunter2" not in mistake
    assert "12345" not in mistake


@pytest.mark.parametrize(
    ("of_type", "managed"),
    [("local", True), ("remote", True), ("localdocker", False), ("remotedocker", False), ("cluster", False)],
)
def test_without_a_word_on_it_only_local_and_remote_use_the_users_own_environment(of_type: str, managed: bool) -> None:
    text = f"type: {of_type}\naddress: vm\nusername: ada\n"

    assert read(text).user_managed_environment is managed
    assert read(f"{text}userManagedEnvironment: {str(not managed).lower()}\n").user_managed_environment is not managed


def test_shared_volumes_are_on_when_nothing_is_said() -> None:
    assert read("type: localdocker\n").shared_volumes is True


def test_our_own_keys_are_read() -> None:
    target = read(
        "type: remotedocker\naddress: vm\nusername: ada\nroot: /scratch/amltool\nartifactStore: ~/artifacts\n"
        "maxConcurrentRuns: 2\nprivateKeyFile: ~/.ssh/id_ed25519\nuseSshKey: true\ngpu: true\nshmSize: 4g\n"
        "memory: 8 GB\ncpus: 1.5\nnetwork: host\nvolumes: ['/data:/data:ro']\ncaCertificates: /etc/ca.pem\n"
        "pip:\n  indexUrl: https://pypi.example.org/simple\n  extraIndexUrls: [https://b.example.org]\n"
        "buildArguments: {HTTP_PROXY: 'http://proxy:3128'}\nenvironmentVariables: {A: '${env:A}'}\ncompression: true\n"
    )

    assert (target.root, target.artifact_store, target.max_concurrent_runs) == ("/scratch/amltool", "~/artifacts", 2)
    assert (target.gpu, target.wants_gpu, target.shm_size, target.memory, target.cpus) == (
        "all",
        True,
        4 << 30,
        8 << 30,
        1.5,
    )
    assert target.pip == PipSettings("https://pypi.example.org/simple", ("https://b.example.org",))
    assert target.build_arguments == {"HTTP_PROXY": "http://proxy:3128"}
    assert target.environment_variables == {"A": "${env:A}"}
    assert (target.network, target.volumes, target.compression, target.use_ssh_key) == (
        "host",
        ("/data:/data:ro",),
        True,
        True,
    )


def test_a_secret_in_a_build_argument_is_refused() -> None:
    (mistake,) = mistakes_of("type: localdocker\nbuildArguments: {REGISTRY_TOKEN: hunter2}\n")

    assert "'REGISTRY_TOKEN' holds a secret in plain text" in mistake
    assert "hunter2" not in mistake


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
REFERENCE = st.one_of(
    st.none(),
    st.builds(SecretReference, st.just(SecretKind.ENVIRONMENT), st.just("GPU_PASSWORD")),
    st.builds(SecretReference, st.just(SecretKind.KEYRING), st.just("amltool/gpu"), st.just("ada")),
)
SIZE = st.integers(1, 10**15 - 1)
MAP = st.dictionaries(
    TEXT.filter(lambda name: "=" not in name), TEXT.filter(lambda value: "$" not in value), max_size=3
)
TARGETS = st.builds(
    ComputeTarget,
    name=st.just("gpu"),
    type=st.sampled_from(ComputeType),
    address=st.sampled_from(["vm.example.org", "10.0.0.1", "2001:db8::1"]),
    port=st.integers(1, 65535),
    username=st.sampled_from(["ada", "sshuser", "a.b-c", "名"]),
    password=REFERENCE,
    private_key_file=st.none() | TEXT,
    use_ssh_key=st.booleans(),
    base_docker_image=st.none() | st.sampled_from(["python:3.11", "r.example.org:5000/a/b@sha256:00"]),
    shared_volumes=st.booleans(),
    native_shared_directory=TEXT,
    nvidia_docker=st.booleans(),
    python_location=TEXT,
    user_managed_environment=st.booleans(),
    yarn_deploy_mode=st.sampled_from(YarnDeployMode),
    root=st.none() | TEXT,
    max_concurrent_runs=st.none() | st.integers(1, 1000),
    gpu=st.none() | st.sampled_from(["all", "2", "device=0,1"]),
    shm_size=SIZE,
    memory=st.none() | SIZE,
    cpus=st.none() | st.sampled_from([0.5, 1.0, 2.25]),
    volumes=st.lists(TEXT, max_size=3).map(tuple),
    pip=st.builds(PipSettings, st.none() | TEXT, st.lists(TEXT, max_size=2).map(tuple)),
    environment_variables=MAP,
    compression=st.booleans(),
)


@pytest.mark.parametrize("master", ["local", "local[*]", "local[4]", "local[2,3]", "spark://head:7077,other:7077"])
def test_a_master_needs_nothing_but_spark(master: str) -> None:
    assert read(f"type: local\nmaster: {master}\n").master == master


@pytest.mark.parametrize(
    ("master", "words"),
    [
        (
            "yarn",
            "expected local[*], local[N] or spark://HOST:PORT, found 'yarn'; YARN is a compute target of type cluster",
        ),
        ("k8s://head:6443", "found 'k8s://head:6443'"),
        ("spark://head", "found 'spark://head'"),
        ("local[x]", "found 'local[x]'"),
    ],
)
def test_another_master_is_a_mistake(master: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(f"type: remote\naddress: vm.example.org\nusername: ada\nmaster: {master}\n")
    assert words in str(refused.value)


CLUSTER = "type: cluster\naddress: a-ssh.azurehdinsight.net\nusername: sshuser\n"


def test_a_shared_folder_of_a_cluster_is_warned_of() -> None:
    assert read(CLUSTER).warnings == ()
    [warning] = read(f"{CLUSTER}nativeSharedDirectory: ~/.azureml/share/\n").warnings
    assert "nativeSharedDirectory has no effect: the nodes of a cluster share no folder" in warning


def test_a_cluster_has_its_own_master() -> None:
    with pytest.raises(ConfigurationError, match=r"master: a cluster's master is YARN"):
        read(f"{CLUSTER}master: local[*]\n")


@given(TARGETS)
@settings(max_examples=150, deadline=None)
def test_a_target_that_is_written_and_read_is_the_same(target: ComputeTarget) -> None:
    written = write_compute(target)

    assert read(written) == target
    keys = list(yaml.safe_load(written))
    assert keys == sorted(keys)


def test_every_compute_template_is_read() -> None:
    import amltool.templates

    folder = Path(amltool.templates.__file__).parent
    for name in ("local", "docker"):
        text = (folder / f"{name}.compute").read_text().replace("@BASE_IMAGE@", "debian:12")  # as `init` does
        assert read(text).warnings == ()
