package main

import "errors"

func render(args []string) error { return errors.New("not yet") }
