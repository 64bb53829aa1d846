# make test   what a change must pass; needs Go and a C compiler
# make check  lint, known vulnerabilities, tidy modules; fetches the tools it needs
# make bench  this library beside its peers; takes minutes

MODULES := $(shell git ls-files '*go.mod' | grep -v '^tools/' | xargs -n1 dirname)
# Executions of each fuzz target, some seconds. A time instead ends in "context
# deadline exceeded" now and then on a busy machine.
FUZZTIME ?= 30000x
TOOLS := $(CURDIR)/bin

.PHONY: test fuzz check vulnerabilities tools bench

test:
	@set -e; for m in $(MODULES); do \
		echo "== $$m"; \
		out=$$(gofmt -l $$(git ls-files "$$m/*.go")); test -z "$$out" || { echo "gofmt these:"; echo "$$out"; exit 1; }; \
		(cd $$m && go vet ./... && go test -race -shuffle=on -timeout 15m ./...); \
	done
	@$(MAKE) --no-print-directory fuzz

# Each fuzz target of each module, beyond its seeds.
fuzz:
	@set -e; for m in $(MODULES); do \
		for p in $$(cd $$m && go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do \
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
	go test -count=1 -run 'TestDependencies|TestReadme' .

# govulncheck, where its database can be reached; exit status 3 is a finding.
# What the libraries in benchmarks depend on is not this project's to mend.
vulnerabilities:
	@cd $(M) && { $(TOOLS)/govulncheck ./... >$(TOOLS)/vuln.txt 2>&1 && rc=0 || rc=$$?; \
		if [ $$rc -eq 0 ]; then echo "no known vulnerabilities"; \
		elif [ $$rc -ne 3 ] && grep -q 'fetching vulnerabilities' $(TOOLS)/vuln.txt; then echo "the vulnerability database cannot be reached: not checked"; \
		else cat $(TOOLS)/vuln.txt; exit 1; fi; }

tools:
	@mkdir -p $(TOOLS) && GOBIN=$(TOOLS) go -C tools install tool

bench:
	go -C benchmarks run ./cmd/table
