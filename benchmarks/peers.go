// Package benchmarks sets wechatqr beside the libraries that users would pick
// instead, and beside the least that the same work can cost. The table of
// README.md comes from command table.
package benchmarks

// The benchmarks, each of which has a sub-benchmark for every library that has
// something of the kind, after those of the floors.
const (
	ParseScan            = "ParseScan"
	ParseSubscribe       = "ParseSubscribe"
	OpenParse            = "OpenParse"
	HandlePlain          = "HandlePlain"
	HandlePlainReply     = "HandlePlainReply"
	HandleEncrypted      = "HandleEncrypted"
	HandleEncryptedReply = "HandleEncryptedReply"
	LargePost            = "LargePost"
	LargePostUnsigned    = "LargePostUnsigned"
	Token                = "Token"
	TokenParallel        = "TokenParallel"
	TokenHerd            = "TokenHerd"
	CreateInMemory       = "CreateInMemory"
	CreateLoopback       = "CreateLoopback"
	Connections          = "Connections"
)

// Check is something that a receiver of pushes may look at before it hands an
// event on.
type Check string

// The checks.
const (
	Signature Check = "signature" // signature, or msg_signature of an encrypted message
	Age       Check = "age"       // the signed timestamp
	AppID     Check = "AppID"     // that a message was encrypted for
)

// Checks are those that belong to the work of a benchmark.
func Checks(benchmark string) []Check {
	switch benchmark {
	case HandlePlain, HandlePlainReply:
		return []Check{Signature, Age}
	case OpenParse, HandleEncrypted, HandleEncryptedReply:
		return []Check{Signature, Age, AppID}
	}
	return nil
}

// Library is one that is measured.
type Library struct {
	Name   string
	Module string
	Host   string            // how its calls come to the loopback server
	Skips  []Check           // in all of its work
	Notes  map[string]string // what else a reader must know, by benchmark
}

// Libraries are those that are measured, this one first.
func Libraries() []Library {
	return []Library{
		{
			Name: "wechatqr", Module: "github.com/wechatqr/wechatqr",
			Host: "`WithEndpoint`",
		},
		{
			Name: "silenceper", Module: "github.com/silenceper/wechat/v2",
			Host:  "`util.SetURIModifier`",
			Skips: []Check{Age},
			Notes: map[string]string{
				OpenParse: "its steps, called one by one",
			},
		},
		{
			Name: "chanxuehong", Module: "github.com/chanxuehong/wechat",
			Host:  "an `http.RoundTripper` that changes the host",
			Skips: []Check{Age},
			Notes: map[string]string{
				OpenParse:      "by its ServeHTTP, the only way in",
				Token:          "a timer renews: no look at the clock",
				TokenParallel:  "a timer renews: no look at the clock",
				CreateInMemory: "its time limit costs more here than over a connection",
			},
		},
		{
			Name: "PowerWeChat", Module: "github.com/ArtisanCloud/PowerWeChat/v3",
			Host:  "`UserConfig.Http.BaseURI`",
			Skips: []Check{Age, AppID},
			Notes: map[string]string{
				HandlePlainReply:     "CreateTime is no number",
				HandleEncryptedReply: "CreateTime is no number",
				CreateInMemory:       "its time limit costs more here than over a connection",
			},
		},
		{
			Name: "fastwego", Module: "github.com/fastwego/offiaccount",
			Host:  "`offiaccount.WXServerUrl`",
			Skips: []Check{Signature, Age, AppID},
			Notes: map[string]string{
				CreateInMemory: "takes and returns JSON text: encoding/json added",
				CreateLoopback: "takes and returns JSON text: encoding/json added",
				Connections:    "takes and returns JSON text: encoding/json added",
				Token:          "kept in a file",
				TokenParallel:  "kept in a file",
				TokenHerd:      "kept in a file",
			},
		},
	}
}
