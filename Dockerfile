# The environment of requirements.lock as a container:
# docker build -t orchard . ; apptainer build orchard.sif docker-daemon:orchard:latest
# git and bubblewrap are what stages call besides Python; the C compiler is for the games of reasoning-gym.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap build-essential git make openssh-client \
    && rm -rf /var/lib/apt/lists/*
# The mounted project may be owned by somebody else than the container's user, which git refuses unless told.
RUN git config --system --add safe.directory /orchard
WORKDIR /orchard
COPY requirements.lock requirements-games.lock requirements-cluster.lock ./
RUN pip install --no-cache-dir --requirement requirements.lock \
    && pip install --no-cache-dir --no-deps \
        --requirement requirements-games.lock --requirement requirements-cluster.lock
# The project itself is mounted over this folder: its own src/ is what runs (Snakefile puts it first).
ENV PYTHONPATH=/orchard/src
CMD ["snakemake", "--cores", "all"]
