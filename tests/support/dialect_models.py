"""The models of the server that tests/clients/conftest.py starts."""

TEXT_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-minilm-l6-v2"
