package main

import "context"

func (f *evalOutputs) page(ctx context.Context, n *evalNumbers, t *truth) error { return nil }
