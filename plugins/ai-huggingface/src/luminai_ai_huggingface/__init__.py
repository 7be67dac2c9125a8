"""Pictures of FLUX and other models, over Hugging Face's inference API."""
