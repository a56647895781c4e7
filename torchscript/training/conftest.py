"""This folder is where the tests of training import from, beside torchscript/."""
