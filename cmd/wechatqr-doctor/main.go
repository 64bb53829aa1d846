// Command wechatqr-doctor says what is wrong with the configuration of an account:
// clock, network, AppID and AppSecret, permissions, quota and callback. The
// environment has the settings, as wechatqr.CredentialsFromEnv and
// events.ConfigFromEnv read them.
//
// It makes one temporary code, which lives for a minute, and sends the callback that
// -callback names a few events of the type debug_demo. The exit status is 0 if nothing
// is wrong, 1 if something is, 2 for wrong flags. It prints no secret of the
// environment.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"os/signal"
	"strings"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/doctor"
)

const (
	exitOK = iota
	exitWrong
	exitUsage
)

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
}

func run(
	ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	opts, err := parse(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "wechatqr-doctor:", err)
		return exitUsage
	}

	cfg := doctor.Config{
		Credentials: wechatqr.CredentialsFromEnv,
		Callback:    opts.callback,
		Tickets:     opts.tickets,
	}
	receives := opts.callback
	for _, name := range []string{"WECHAT_TOKEN", "WECHAT_AES_KEY", "WECHAT_PLAINTEXT"} {
		receives += getenv(name)
	}
	if receives != "" {
		cfg.Events = events.ConfigFromEnv
	}
	if opts.api != "" {
		cfg.Endpoint = wechatqr.Endpoint{API: []string{opts.api}, Image: opts.api}
	}
	write := writeText
	if opts.json {
		write = writeJSON
	}
	ok, err := write(stdout, opts.lang, doctor.Run(ctx, cfg))
	if !ok || err != nil || ctx.Err() != nil {
		return exitWrong
	}
	return exitOK
}

type options struct {
	api, callback, tickets, lang string
	json                         bool
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("wechatqr-doctor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.api, "api", "", "base `URL` of a sandbox or proxy; default: WeChat's hosts")
	flags.StringVar(&o.callback, "callback", "",
		"`URL` of your callback: send it WeChat's check and a push")
	flags.StringVar(&o.tickets, "tickets", "", "`file` of tickets.OpenFile: count its permanent codes")
	flags.StringVar(&o.lang, "lang", language(getenv), "en or zh; default: from LANG")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			err = errors.New("see -h")
		}
		return o, err
	}

	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not a flag: see -h", flags.Arg(0))
	case o.lang != "en" && o.lang != "zh":
		return o, fmt.Errorf("-lang %q: use en or zh", o.lang)
	}
	o.api = strings.TrimRight(o.api, "/")
	for name, address := range map[string]string{"api": o.api, "callback": o.callback} {
		u, err := url.Parse(address)
		isURL := err == nil && u.Host != "" && u.User == nil &&
			(u.Scheme == "http" || u.Scheme == "https")
		if address != "" && !isURL {
			return o, fmt.Errorf("-%s is not an http or https URL", name)
		}
	}
	return o, nil
}

// language is the one that the environment asks for.
func language(getenv func(string) string) string {
	locale := cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG"))
	if strings.HasPrefix(strings.ToLower(locale), "zh") {
		return "zh"
	}
	return "en"
}

// label is the status in a column of one width: a Chinese character takes two.
func label(s doctor.Status, lang string) string {
	labels := map[doctor.Status]doctor.Text{
		doctor.OK:         {EN: "ok         ", ZH: "正常    "},
		doctor.Wrong:      {EN: "WRONG      ", ZH: "有误    "},
		doctor.NotChecked: {EN: "not checked", ZH: "未检查  "},
	}
	return labels[s].In(lang)
}

func writeText(w io.Writer, lang string, findings iter.Seq[doctor.Finding]) (ok bool, err error) {
	counts := map[doctor.Status]int{}
	for f := range findings {
		counts[f.Status]++
		colon := doctor.Text{EN: ": ", ZH: "："}.In(lang)
		_, err = fmt.Fprintf(w, "%s  %s%s%s\n",
			label(f.Status, lang), f.Title.In(lang), colon, f.Text.In(lang))
		if err != nil {
			return false, err
		}
		if advice := f.Advice.In(lang); advice != "" {
			indent := doctor.Text{EN: strings.Repeat(" ", 13), ZH: strings.Repeat(" ", 10)}.In(lang)
			_, _ = fmt.Fprintf(w, "%s→ %s\n", indent, advice)
		}
	}
	summary := doctor.Text{EN: "%d ok, %d wrong, %d not checked", ZH: "正常 %d 项，有误 %d 项，未检查 %d 项"}
	_, err = fmt.Fprintf(w, "\n"+summary.In(lang)+"\n",
		counts[doctor.OK], counts[doctor.Wrong], counts[doctor.NotChecked])
	return counts[doctor.Wrong] == 0, err
}

type findingJSON struct {
	Check  string        `json:"check"`
	Status doctor.Status `json:"status"`
	Text   string        `json:"text"`
	Advice string        `json:"advice,omitempty"`
}

func writeJSON(w io.Writer, lang string, findings iter.Seq[doctor.Finding]) (ok bool, err error) {
	report := struct {
		OK     bool          `json:"ok"`
		Checks []findingJSON `json:"checks"`
	}{OK: true}
	for f := range findings {
		report.OK = report.OK && f.Status != doctor.Wrong
		report.Checks = append(report.Checks,
			findingJSON{f.Check, f.Status, f.Text.In(lang), f.Advice.In(lang)})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return report.OK, encoder.Encode(report)
}
