// Command table measures this library, its peers and the floors in rounds,
// prints the medians as one table and writes it into README.md. Run it in the
// directory of the module:
//
//	go run ./cmd/table
//	go run ./cmd/table -short   # one short round: does it all work?
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

const readme = "README.md"

func main() {
	times := flag.Int("rounds", 12, "how often everything is measured; from 6 on the table says how far the medians can be trusted")
	benchtime := flag.String("benchtime", "100ms", "how long each is measured in a round, as for go test")
	short := flag.Bool("short", false, "one round of a millisecond each, and leave "+readme+" as it is")
	flag.Parse()
	if *short {
		*times, *benchtime = 1, "1ms"
	}
	if flag.NArg() > 0 || *times < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *times, *benchtime, !*short); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func run(ctx context.Context, times int, benchtime string, write bool) error {
	dir, err := os.MkdirTemp("", "wechatqr-table-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // only binaries
	binary := filepath.Join(dir, "benchmarks.test")
	if err := command(ctx, "go", "test", "-c", "-o", binary, "."); err != nil {
		return err
	}
	programs, err := buildPrograms(ctx, dir)
	if err != nil {
		return err
	}
	var m measured
	for n := range times {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", n+1, times)
		if err := m.round(ctx, binary, benchtime); err != nil {
			return err
		}
	}
	text, err := table(&m, programs)
	if err != nil {
		return err
	}
	text = fmt.Sprintf("%s\n%s, rounds: %d of %s, %s.\n", text, m.machine(), times, benchtime, time.Now().UTC().Format(time.DateOnly))
	fmt.Print(text)
	if !write {
		return nil
	}
	return replaceTable(readme, text)
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

const (
	begin = "<!-- table: written by go run ./cmd/table -->\n"
	end   = "<!-- end of table -->\n"
)

// replaceTable puts text between the two marks of the file.
func replaceTable(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+text+"\n"+end+after), 0o644) //nolint:gosec // a page to read
}
