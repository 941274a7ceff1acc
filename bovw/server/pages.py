"""The pages for people."""
from fastapi import APIRouter
__all__ = ["router"]
router = APIRouter()
