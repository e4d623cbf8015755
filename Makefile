# On a fresh Debian machine with cargo on it, `make run` and `make test` need nothing else.

CARGO ?= cargo

.PHONY: run test setup lint dist bench instructions deny fuzz corpus-table office-plot

# Two ordinary office days to learn from, then the morning on which the contractor uploads the
# customer database.
run: setup
	$(CARGO) run --release --locked -- replay --until 2026-03-16T12:00 \
		--timezone Asia/Tokyo --internal 10.20.0.0/16,2001:db8:20::/48 \
		pcaps/office-2026-03-12.pcap.zst pcaps/office-2026-03-13.pcap.zst \
		pcaps/office-2026-03-16.pcap.zst pcaps/contractor-upload.pcap.zst

# Doc tests first: the summary at the end is that of the whole suite. Tests that lack a tool or
# recorded traffic say SKIPPED; with SEKISHO_CI set they fail.
test: setup
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --lib --bins --tests

# Installs the C compiler and libpcap's development files where they are missing.
setup:
	@scripts/setup.sh

lint: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# Builds target/dist/sekisho, what is shipped: optimised by a profile of what it does. Needs rustup.
dist: setup
	scripts/dist.sh

bench: setup
	$(CARGO) bench --locked

# What a packet costs, counted by valgrind: a slowdown shows on a noisy machine. Needs valgrind, python3.
instructions: setup
	benches/instructions.py

# Licences, bans and sources of what we build on. Needs cargo-deny (cargo install --locked cargo-deny).
deny:
	$(CARGO) deny --locked check licenses bans sources

# Runs every fuzz target for 25 s; FUZZ="--seconds 3600 flow" for longer. Needs cargo-fuzz (cargo
# install --locked cargo-fuzz) and a C++ compiler; with SEKISHO_CORPUS the targets have seeds.
# cargo-fuzz cannot be told --locked: cargo tree is, and fails when the lock file is not current.
fuzz: setup
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) tree --quiet --locked --manifest-path fuzz/Cargo.toml >/dev/null
	scripts/fuzz.sh $(FUZZ)

# Writes docs/corpus.md anew: what replay makes of each recorded capture. Needs SEKISHO_CORPUS.
corpus-table: setup
	SEKISHO_CI=1 SEKISHO_BLESS=1 $(CARGO) test --locked --test it -- \
		--exact corpus::the_table_in_the_docs_is_true

# Draws docs/office.svg anew: the made-up office beside recorded traffic. Needs SEKISHO_CORPUS, SEKISHO_SCENARIOS.
office-plot: setup
	SEKISHO_BLESS=1 $(CARGO) test --locked --lib -- \
		--exact synth::office::likeness::the_picture_in_the_docs_is_of_this_office
