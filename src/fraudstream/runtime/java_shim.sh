#!/bin/sh
# Written by fraudstream: this Java has no module {module}, which Spark's launcher names.
for argument do
  shift
  [ "$argument" = "--add-modules={module}" ] || set -- "$@" "$argument"
done
exec {java} "$@"
