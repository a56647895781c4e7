package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Choice is a flag that takes one of a few words; the first is its default.
type Choice struct {
	Value string
	words []string
}

// AddChoice defines the flag, its list of words for the help, and its shell completion.
func AddChoice(cmd *cobra.Command, name, usage string, words ...string) *Choice {
	c := &Choice{Value: words[0], words: words}
	cmd.Flags().Var(c, name, usage+": "+strings.Join(words, ", "))
	complete(cmd, name, words...)
	return c
}

func (c *Choice) String() string { return c.Value }

// Type stands for the value in the help; see [pflag.Value].
func (c *Choice) Type() string { return "WORD" }

// Set takes one of the words; see [pflag.Value].
func (c *Choice) Set(value string) error {
	if !slices.Contains(c.words, value) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.Value = value
	return nil
}

// complete offers words to the shell's completion of a flag; without words it offers nothing, not even file names.
func complete(cmd *cobra.Command, flag string, words ...string) {
	// It fails for an unknown or repeated flag only, which every test of the command would show as missing completion.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
