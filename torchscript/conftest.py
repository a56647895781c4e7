"""The folder of the scripts is where the tests import from, and --largest adds the models that need long."""

import pytest

LARGEST = ["RN50x64", "ViT-L/14@336px"]


def pytest_configure(config: pytest.Config) -> None:
    # CONTRACT.md says why the exports stay with torch.jit; a thousand reminders would hide other warnings.
    config.addinivalue_line("filterwarnings", r"ignore:.torch\.jit\.\w+. is (deprecated|not):DeprecationWarning")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--largest", action="store_true", help="compare OpenAI's two largest models too (half an hour)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "openai_name" in metafunc.fixturenames:
        from published import OPENAI

        largest = metafunc.config.getoption("--largest")
        metafunc.parametrize("openai_name", [name for name in OPENAI if largest or name not in LARGEST])
