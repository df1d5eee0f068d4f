"""The live page: how a training goes, in the browser, while it goes on."""
