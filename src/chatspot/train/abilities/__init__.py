"""What a model can do beside pointing, before and after a stage; rehearsal against forgetting."""
