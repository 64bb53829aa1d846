package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// measured is what the rounds brought.
type measured struct {
	lines []*line // in the order in which they ran
	cpu   string
}

// line is one library, or floor, in one benchmark.
type line struct {
	benchmark, by string
	values        map[string][]float64 // by unit, one a round
}

func (m *measured) round(ctx context.Context, binary, benchtime string) error {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench=.", "-test.benchtime="+benchtime, "-test.timeout=20m") //nolint:gosec // ours
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, out.Bytes())
	}
	return m.read(&out)
}

// read takes what go test -bench prints.
func (m *measured) read(r io.Reader) error {
	reader := benchfmt.NewReader(r, "go test")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue // a comment of the format
		}
		m.cpu = result.GetConfig("cpu")
		benchmark, parts := result.Name.Parts()
		by := ""
		for _, part := range parts {
			if part[0] == '/' { // else it is GOMAXPROCS
				by += string(part)
			}
		}
		l := m.line(string(benchmark), strings.ReplaceAll(strings.TrimPrefix(by, "/"), "_", " "))
		for _, v := range result.Values {
			l.values[v.Unit] = append(l.values[v.Unit], v.Value)
		}
	}
	return reader.Err()
}

func (m *measured) line(benchmark, by string) *line {
	i := slices.IndexFunc(m.lines, func(l *line) bool { return l.benchmark == benchmark && l.by == by })
	if i < 0 {
		i = len(m.lines)
		m.lines = append(m.lines, &line{benchmark, by, map[string][]float64{}})
	}
	return m.lines[i]
}

// of returns the lines of one benchmark, the floor first.
func (m *measured) of(benchmark string) []*line {
	var out []*line
	for _, l := range m.lines {
		if l.benchmark == benchmark {
			out = append(out, l)
		}
	}
	return out
}

func (m *measured) machine() string {
	return fmt.Sprintf("%s, %s/%s, %s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, m.cpu, runtime.GOMAXPROCS(0))
}

// median is that of some values, and how far to either side it may be off
// with a confidence of 95 %; that takes six values.
func median(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), 0.95)
}

// ratios are those of each round, for what slows down one round does not slow
// down the next.
func ratios(above, below []float64) []float64 {
	var out []float64
	for i := range min(len(above), len(below)) {
		out = append(out, above[i]/below[i])
	}
	return out
}
