"""Puts this folder, where the scripts are, on the tests' import path, and adds --largest
for the models that take long, and --pictograms for what package registries have."""

import pytest

SMALLEST = ["RN50", "ViT-B/32"]


def pytest_configure(config: pytest.Config) -> None:
    # CONTRACT.md says why the exports stay with torch.jit. A thousand deprecation
    # warnings would hide others.
    config.addinivalue_line(
        "markers", "pictograms: needs the pictograms, and fetches them; runs with --pictograms alone"
    )
    config.addinivalue_line("filterwarnings", r"ignore:.torch\.jit\.\w+. is (deprecated|not):DeprecationWarning")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--largest", action="store_true", help="compare OpenAI's larger models too (over half an hour)")
    parser.addoption(
        "--pictograms", action="store_true", help="also run what fetches and draws the pictograms (minutes)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--pictograms"):
        left = [item for item in items if item.get_closest_marker("pictograms")]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "openai_name" in metafunc.fixturenames:
        from published import OPENAI

        largest = metafunc.config.getoption("--largest")
        metafunc.parametrize("openai_name", [name for name in OPENAI if largest or name in SMALLEST])
