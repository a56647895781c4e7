package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Choice is the value of a flag that takes one of a few words. The first word is the
// default.
type Choice struct {
	Value string
	words []string
}

// AddChoice defines the flag name. It appends the words to the usage and registers them
// for shell completion.
func AddChoice(cmd *cobra.Command, name, usage string, words ...string) *Choice {
	c := &Choice{Value: words[0], words: words}
	cmd.Flags().Var(c, name, usage+": "+strings.Join(words, ", "))
	complete(cmd, name, words...)
	return c
}

func (c *Choice) String() string { return c.Value }

// Type returns the placeholder for the value in the help; see [pflag.Value].
func (c *Choice) Type() string { return "WORD" }

// Set sets c to one of the words; see [pflag.Value].
func (c *Choice) Set(value string) error {
	if !slices.Contains(c.words, value) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.Value = value
	return nil
}

// complete registers words as the shell completion of a flag. Without words, nothing is
// completed, not even file names.
func complete(cmd *cobra.Command, flag string, words ...string) {
	// It fails only for an unknown flag or one that is registered twice. The tests of the
	// commands would show the missing completion.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
