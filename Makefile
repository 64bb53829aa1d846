# make help lists the targets.

# What the project's own modules and Go files are not found beneath.
PRUNE := -name '.?*' -prune -o -name bin -prune -o -name dist -prune -o -name node_modules -prune -o
# The directories with a go.mod, with or without git: the root first, benchmarks last.
FOUND := $(shell find . $(PRUNE) -name testdata -prune -o -path ./tools -prune -o -name go.mod -print | \
	sed -e 's,/go\.mod$$,,' -e 's,^\./,,' | LC_ALL=C sort)
MODULES := $(filter-out benchmarks,$(FOUND)) $(filter benchmarks,$(FOUND))
ifneq ($(firstword $(MODULES)),.)
$(error no go.mod in $(CURDIR): nothing to test)
endif
# Executions of each fuzz target, some seconds. A time instead ends in "context
# deadline exceeded" now and then on a busy machine.
FUZZTIME ?= 30000x
TOOLS := $(CURDIR)/bin

# The programs for users, and the platforms for which make dist builds them.
PROGRAMS ?= $(sort $(wildcard cmd/*))
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# The events of the ledger that make bench-channels and bench-desk measure.
EVENTS ?= 10000000

.PHONY: help test modules fuzz check vulnerabilities tools tables bench bench-channels bench-desk dist

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 17

test: ## what a change must pass: gofmt, vet, tests with the race detector, fuzz; needs a C compiler
	@out=$$(find . $(PRUNE) -name '*.go' -exec gofmt -l {} +) || exit 1; \
		test -z "$$out" || { echo "gofmt these:"; echo "$$out"; exit 1; }
	@set -e; for m in $(MODULES); do \
		echo "== $$m"; \
		(cd $$m && go vet ./... && go test -race -shuffle=on -timeout 15m ./...); \
	done
	@$(MAKE) --no-print-directory fuzz

modules: ## print the modules in the order in which they are tested, one a line
	@printf '%s\n' $(MODULES)

fuzz: ## run each fuzz target beyond its seeds, FUZZTIME each
	@set -e; for m in $(MODULES); do \
		packages=$$(cd $$m && go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); \
		for p in $$packages; do \
			for f in $$(cd $$p && grep -ohE '^func Fuzz[A-Za-z0-9_]+' *_test.go | cut -c6-); do \
				echo "== fuzz $$f in $$p"; (cd $$p && go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
			done; \
		done; \
	done

check: tools ## staticcheck, govulncheck, tidy go.mod files, the READMEs; fetches the tools
	@set -e; for m in $(MODULES); do \
		echo "== $$m"; \
		(cd $$m && go mod tidy -diff && $(TOOLS)/staticcheck ./...); \
		test $$m = benchmarks || $(MAKE) --no-print-directory vulnerabilities M=$$m; \
	done
	go -C tools mod tidy -diff
	go test -count=1 -run 'TestDependencies|TestDocs' .

# govulncheck, where its database can be reached; exit status 3 is a finding.
# What the libraries in benchmarks depend on is not this project's to mend.
vulnerabilities:
	@cd $(M) && { $(TOOLS)/govulncheck ./... >$(TOOLS)/vuln.txt 2>&1 && rc=0 || rc=$$?; \
		if [ $$rc -eq 0 ]; then echo "no known vulnerabilities"; \
		elif [ $$rc -ne 3 ] && grep -q 'fetching vulnerabilities' $(TOOLS)/vuln.txt; then echo "the vulnerability database cannot be reached: not checked"; \
		else cat $(TOOLS)/vuln.txt; exit 1; fi; }

tools: ## install the pinned tools in bin
	@mkdir -p $(TOOLS) && GOBIN=$(TOOLS) go -C tools install tool

# What stands between the marks <!-- begin … --> and <!-- end … -->.
tables: ## write the tables in docs that repeat code
	WECHATQR_WRITE_TABLES=1 go test -count=1 -run 'TestDocs/tables' .
	WECHATQR_WRITE_TABLES=1 go -C channels test -count=1 -run TestDefinitionsInDocs .

bench: ## measure this library beside its peers; takes minutes
	go -C benchmarks run ./cmd/table

bench-channels: ## measure channels on three databases with EVENTS events; takes an hour and 15 GB
	CHANNELS_EVENTS=$(EVENTS) go -C channels test -count=1 -timeout 6h -run '^TestScale$$' -v .

bench-desk: ## measure channeld's pages on a SQLite ledger with EVENTS events; takes half an hour and 3 GB
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		export CHANNELS_EVENTS=$(EVENTS) CHANNELS_SCALE_DIR="$$dir" && \
		go -C channels test -count=1 -timeout 6h -run '^TestScale$$/^SQLite$$/^size$$' . && \
		go -C cmd/channeld test -count=1 -timeout 6h -run '^TestScale$$' -v .

# A program of a nested module is built in its own directory. Names are those of
# Go: sandbox_linux_amd64, sandbox_windows_arm64.exe.
dist: ## build static binaries of the programs in dist, with checksums
	@rm -rf dist && mkdir dist
	@set -e; for program in $(PROGRAMS); do for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/} ext=; test $$os != windows || ext=.exe; \
		out=$${program##*/}_$${os}_$$arch$$ext; echo "dist/$$out"; \
		(cd $$program && CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch \
			go build -trimpath -ldflags='-s -w' -o "$(CURDIR)/dist/$$out" .); \
	done; done
	@cd dist && { sha256sum * 2>/dev/null || shasum -a 256 *; } >../SHA256SUMS && mv ../SHA256SUMS .
