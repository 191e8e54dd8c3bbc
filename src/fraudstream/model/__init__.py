"""Models as a thing on disk: training, evaluation, the artifact and what is in force. Scoring is in `scoring/`."""
