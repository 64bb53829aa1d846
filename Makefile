# make test   what a change must pass; needs Go and a C compiler
# make check  lint, known vulnerabilities, tidy modules; fetches the tools it needs
# make tables writes the tables in docs that repeat code
# make bench  this library beside its peers; takes minutes

# What the project's own modules and Go files are not found beneath.
PRUNE := -name '.?*' -prune -o -name bin -prune -o -name node_modules -prune -o
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

.PHONY: test modules fuzz check vulnerabilities tools tables bench

test:
	@out=$$(find . $(PRUNE) -name '*.go' -exec gofmt -l {} +) || exit 1; \
		test -z "$$out" || { echo "gofmt these:"; echo "$$out"; exit 1; }
	@set -e; for m in $(MODULES); do \
		echo "== $$m"; \
		(cd $$m && go vet ./... && go test -race -shuffle=on -timeout 15m ./...); \
	done
	@$(MAKE) --no-print-directory fuzz

# The modules in the order in which they are tested, one a line.
modules:
	@printf '%s\n' $(MODULES)

# Each fuzz target of each module, beyond its seeds.
fuzz:
	@set -e; for m in $(MODULES); do \
		packages=$$(cd $$m && go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); \
		for p in $$packages; do \
			for f in $$(cd $$p && grep -ohE '^func Fuzz[A-Za-z0-9_]+' *_test.go | cut -c6-); do \
				echo "== fuzz $$f in $$p"; (cd $$p && go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
			done; \
		done; \
	done

check: tools
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

tools:
	@mkdir -p $(TOOLS) && GOBIN=$(TOOLS) go -C tools install tool

# What stands between the marks <!-- begin … --> and <!-- end … -->.
tables:
	WECHATQR_WRITE_TABLES=1 go test -count=1 -run 'TestDocs/tables' .

bench:
	go -C benchmarks run ./cmd/table
