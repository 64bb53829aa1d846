package channels

import (
	"errors"
	"fmt"

	"github.com/wechatqr/wechatqr"
)

// What is wrong, for errors.Is. What to do stands in the error's text. Wrong
// arguments match wechatqr.ErrInvalidArgument, also beneath one of these.
var (
	// ErrNewerDatabase: a newer version of this library has migrated the database.
	ErrNewerDatabase = errors.New("the database is of a newer version")
	// ErrWrongKey: Config.PersonKey is not the one of this database.
	ErrWrongKey = errors.New("the person key is not that of the database")
	// ErrWrongAccount: the database is of another account.
	ErrWrongAccount = errors.New("the database is of another account")
	// ErrNotEmpty: the database that CopyTo is to copy into holds a ledger.
	ErrNotEmpty = errors.New("the database holds a ledger already")
	// ErrUnfinishedCopy: the copy in the database was cut off, or is being made.
	ErrUnfinishedCopy = errors.New("the copy in the database is not finished")
	// ErrCopyDiffers: CopyTo has verified its copy, and it is not the same.
	ErrCopyDiffers = errors.New("the copy is not the same")
	// ErrPlanOutdated: a channel or a code of the Plan was changed since it was made.
	ErrPlanOutdated = errors.New("the plan is outdated")
	// ErrUnknownChannel: no channel has this key.
	ErrUnknownChannel = errors.New("unknown channel")
	// ErrUnknownScene: no code of this scene was made or adopted.
	ErrUnknownScene = errors.New("unknown scene")
	// ErrSceneInUse: the scene belongs to another channel.
	ErrSceneInUse = errors.New("the scene is in use")
	// ErrConversionDiffers: the id of a conversion is that of another one.
	ErrConversionDiffers = errors.New("another conversion has the id")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("wechatqr: channels: %w", badInput(format, args...))
}

// badInput is invalid for what stands within another error.
func badInput(format string, args ...any) error {
	return fmt.Errorf("%w: %w", wechatqr.ErrInvalidArgument, fmt.Errorf(format, args...))
}

// failed says what failed.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wechatqr: channels: %s: %w", op, err)
}
