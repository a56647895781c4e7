package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choice is a flag that takes one of a few words; the first is its default.
type choice struct {
	value string
	words []string
}

// addChoice defines the flag, its list of words for the help, and its shell completion.
func addChoice(cmd *cobra.Command, name, usage string, words ...string) *choice {
	c := &choice{value: words[0], words: words}
	cmd.Flags().Var(c, name, usage+": "+strings.Join(words, ", "))
	complete(cmd, name, words...)
	return c
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "WORD" }

func (c *choice) Set(value string) error {
	if !slices.Contains(c.words, value) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.value = value
	return nil
}

// complete offers words to the shell's completion of a flag; without words it offers nothing, not even file names.
func complete(cmd *cobra.Command, flag string, words ...string) {
	// It fails for an unknown or repeated flag only, which every test of the command would show as missing completion.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
